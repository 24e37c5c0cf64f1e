#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <system_error>

#include "metrics/accept.h"
#include "metrics/exposition.h"
#include "metrics/gzip.h"

namespace reqtrail {
namespace {

constexpr const char* kPatienceMs = "5000";  // a client that says nothing must not keep a thread for long
constexpr int kHandled = 1;

// What civetweb says while it starts, which it does in the thread that starts it.
thread_local std::string last_log_line;

int KeepLogLine(const mg_connection* /*connection*/, const char* message) {
  last_log_line = message;
  return kHandled;
}

// The values of all headers of this name, joined as one.
std::string HeaderOf(const mg_request_info& request, std::string_view name) {
  std::string joined;
  for (int i = 0; i < request.num_headers; ++i) {
    if (!SameIgnoringCase(request.http_headers[i].name, name)) continue;
    if (!joined.empty()) joined += ',';
    joined += request.http_headers[i].value;
  }
  return joined;
}

std::string Decoded(std::string_view text) {
  std::string decoded(text.size() + 1, '\0');
  const int bytes = ::mg_url_decode(text.data(), static_cast<int>(text.size()), decoded.data(),
                                    static_cast<int>(decoded.size()), /*is_form_url_encoded=*/1);
  decoded.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return decoded;
}

// The values of `name[]` in a query.
std::vector<std::string> NamesIn(std::string_view query) {
  std::vector<std::string> names;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || Decoded(pair.substr(0, equals)) != "name[]") continue;
    if (std::string name = Decoded(pair.substr(equals + 1)); !name.empty()) names.push_back(std::move(name));
  }
  return names;
}

int Send(mg_connection* connection, std::string_view status, std::string_view headers, std::string_view body) {
  std::string head = "HTTP/1.1 ";
  head.append(status).append("\r\n").append(headers).append("Connection: close\r\n\r\n");
  ::mg_write(connection, head.data(), head.size());
  if (!body.empty()) ::mg_write(connection, body.data(), body.size());
  return kHandled;
}

bool IsListeningAt(int fd, std::uint16_t port) noexcept {
  int is_listening = 0;
  socklen_t size = sizeof(is_listening);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 || is_listening == 0) return false;
  sockaddr_in address{};
  size = sizeof(address);
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 && address.sin_family == AF_INET &&
         ntohs(address.sin_port) == port;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(Segment& segment, ServiceProcesses* processes,
                                                      const HttpServerOptions& options) {
  static std::once_flag initialized;
  std::call_once(initialized, [] { ::mg_init_library(0); });

  std::unique_ptr<HttpServer> server(new HttpServer(segment, processes));
  const std::string listening = options.address + ":" + std::to_string(options.port);
  const std::string threads = std::to_string(options.threads);
  const std::array<const char*, 9> settings = {
      "listening_ports", listening.c_str(),   "num_threads", threads.c_str(), "request_timeout_ms",
      kPatienceMs,       "enable_keep_alive", "no",          nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = &HttpServer::Answer;
  callbacks.log_message = &KeepLogLine;
  last_log_line.clear();
  errno = 0;
  server->context_ = ::mg_start(&callbacks, server.get(), const_cast<const char**>(settings.data()));
  if (server->context_ == nullptr) {
    return MetricsError{.fault = MetricsFault::kSystem,
                        .os_error = EADDRNOTAVAIL,
                        .message = "cannot serve metrics at " + listening + ": " + last_log_line};
  }
  std::array<mg_server_port, 1> ports{};
  ::mg_get_server_ports(server->context_, static_cast<int>(ports.size()), ports.data());
  server->port_ = static_cast<std::uint16_t>(ports[0].port);
  server->FindSockets();
  return server;
}

HttpServer::~HttpServer() {
  if (context_ == nullptr) return;
  for (const int fd : sockets_) ::shutdown(fd, SHUT_RDWR);  // or it would look for the end every two seconds only
  ::mg_stop(context_);
}

void HttpServer::AbandonAfterFork() noexcept {
  context_ = nullptr;
  for (const int fd : sockets_) ::close(fd);
  sockets_.clear();
}

// civetweb does not tell its sockets.
void HttpServer::FindSockets() {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    int fd = -1;
    (void)std::from_chars(name.data(), name.data() + name.size(), fd);
    if (IsListeningAt(fd, port_)) sockets_.push_back(fd);
  }
}

// Called before civetweb looks for files, so that nothing but this answers.
int HttpServer::Answer(mg_connection* connection) {
  try {
    return AnswerOrThrow(connection);
  } catch (const std::exception&) {  // no memory: civetweb is C and knows no exceptions
    return Send(connection, "500 Internal Server Error", "Content-Length: 0\r\n", "");
  }
}

int HttpServer::AnswerOrThrow(mg_connection* connection) {
  const mg_request_info& request = *::mg_get_request_info(connection);
  const auto& server = *static_cast<const HttpServer*>(::mg_get_user_data(::mg_get_context(connection)));
  const std::string_view path = request.local_uri == nullptr ? "" : request.local_uri;
  const std::string_view method = request.request_method;
  if (path != "/" && path != "/metrics") return Send(connection, "404 Not Found", "Content-Length: 0\r\n", "");
  if (method != "GET" && method != "HEAD") {
    return Send(connection, "405 Method Not Allowed", "Allow: GET, HEAD\r\nContent-Length: 0\r\n", "");
  }
  const ExpositionFormat format = ChooseFormat(HeaderOf(request, "Accept"));
  const std::vector<std::string> names = NamesIn(request.query_string == nullptr ? "" : request.query_string);
  const std::vector<std::string_view> name_views(names.begin(), names.end());
  std::string body = Expose(server.segment_, {.format = format, .names = name_views, .processes = server.processes_});
  std::string headers = "Content-Type: " + std::string(ContentType(format)) + "\r\nVary: Accept, Accept-Encoding\r\n";
  if (AcceptsGzip(HeaderOf(request, "Accept-Encoding"))) {
    if (std::string compressed = Gzip(body); !compressed.empty()) {
      body = std::move(compressed);
      headers += "Content-Encoding: gzip\r\n";
    }
  }
  headers += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return Send(connection, "200 OK", headers, method == "HEAD" ? std::string_view() : body);
}

}  // namespace reqtrail
