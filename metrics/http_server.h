#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include "metrics/result.h"
#include "metrics/segment.h"
#include "metrics/unique_fd.h"

struct mg_context;
struct mg_connection;

namespace reqtrail {

class ServiceProcesses;

struct HttpServerOptions {
  std::string address = "127.0.0.1";  ///< an address of this host, IPv4 or IPv6, in digits
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
  /// `processes` as in ExpositionRequest. kSystem, with its errno, when it cannot listen there (EADDRINUSE for a port
  /// that is taken) or the threads do not start; ETIMEDOUT: not within ten seconds, and they are left to themselves.
  static Result<std::unique_ptr<HttpServer>> Start(Segment& segment, ServiceProcesses* processes,
                                                   const HttpServerOptions& options);

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// In a child after fork, where the threads are not: closes the child's copy of the listening socket, so that the
  /// port is free when the parent ends. From then on the object does nothing.
  void AbandonAfterFork() noexcept;

 private:
  HttpServer(Segment& segment, ServiceProcesses* processes, UniqueFd listening) noexcept;

  static int Answer(mg_connection* connection);
  static int AnswerOrThrow(mg_connection* connection);
  static void* BeginThread(const mg_context* context, int thread_type);
  [[nodiscard]] int TakeOver(const mg_context* context);

  Segment& segment_;
  ServiceProcesses* processes_;
  mg_context* context_ = nullptr;
  std::uint16_t port_;
  UniqueFd listening_;                    ///< until civetweb listens there
  std::atomic<bool> is_decided_ = false;  ///< the listening thread takes over, or Start has given up: who is first
  std::promise<int> taken_over_;          ///< civetweb's listening socket, or an errno with its sign changed
  int socket_ = -1;                       ///< the same
};

}  // namespace reqtrail
