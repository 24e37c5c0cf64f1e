#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "metrics/result.h"
#include "metrics/segment.h"

struct mg_context;
struct mg_connection;

namespace reqtrail {

class ServiceProcesses;

struct HttpServerOptions {
  std::string address = "127.0.0.1";  ///< an IPv4 address of this host
  std::uint16_t port = 0;             ///< 0: a free one
  unsigned threads = 4;               ///< as many requests are answered at once; others wait
};

/// Serves a segment at / and /metrics (other paths get 404) from threads of its own, by civetweb, the server inside
/// prometheus-cpp's Exposer. GET and HEAD only; Accept, Accept-Encoding (gzip) and `name[]` are obeyed. Nothing here
/// knows of Python, so that a scrape is answered whatever the application does meanwhile.
///
/// The segment and the processes must outlive it. The destructor ends it, and waits for requests in progress.
class HttpServer {
 public:
  /// `processes` as in ExpositionRequest. kSystem, with the server's own words, when it cannot listen there.
  static Result<std::unique_ptr<HttpServer>> Start(Segment& segment, ServiceProcesses* processes,
                                                   const HttpServerOptions& options);

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// In a child after fork, where the threads are not: closes the child's copies of the listening sockets, so that the
  /// port is free when the parent ends. From then on the object does nothing.
  void AbandonAfterFork() noexcept;

 private:
  HttpServer(Segment& segment, ServiceProcesses* processes) noexcept : segment_(segment), processes_(processes) {}

  static int Answer(mg_connection* connection);
  static int AnswerOrThrow(mg_connection* connection);
  void FindSockets();

  Segment& segment_;
  ServiceProcesses* processes_;
  mg_context* context_ = nullptr;
  std::uint16_t port_ = 0;
  std::vector<int> sockets_;
};

}  // namespace reqtrail
