#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <fcntl.h>
#include <netdb.h>
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
#include <utility>

#include "metrics/accept.h"
#include "metrics/exposition.h"
#include "metrics/gzip.h"

namespace reqtrail {
namespace {

constexpr const char* kPatienceMs = "5000";  // a client that says nothing must not keep a thread for long
constexpr int kBacklog = 16;                 // clients that wait in the kernel; more are not let in
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

MetricsError CannotListen(const HttpServerOptions& options, int os_error) {
  const std::string where = options.address + " port " + std::to_string(options.port);
  return SystemError("cannot serve metrics at " + where, os_error);
}

Result<UniqueFd> Listen(const HttpServerOptions& options) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(options.address.c_str(), std::to_string(options.port).c_str(), &hints, &found) != 0) {
    return CannotListen(options, EADDRNOTAVAIL);
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> address(found, &::freeaddrinfo);
  UniqueFd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return CannotListen(options, errno);
  }
  return fd;
}

// The port of a listening socket of this process; 0: it is none.
std::uint16_t ListeningPort(int fd) noexcept {
  int is_listening = 0;
  socklen_t size = sizeof(is_listening);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 || is_listening == 0) return 0;
  sockaddr_storage address{};
  size = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port) : 0;
}

// The listening socket of this process at `port`, other than `but`; -1: there is none.
int FindListening(std::uint16_t port, int but) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    int fd = -1;
    (void)std::from_chars(name.data(), name.data() + name.size(), fd);
    if (fd != but && ListeningPort(fd) == port) return fd;
  }
  return -1;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(Segment& segment, ServiceProcesses* processes,
                                                      const HttpServerOptions& options) {
  static std::once_flag initialized;
  std::call_once(initialized, [] { ::mg_init_library(0); });

  Result<UniqueFd> listening = Listen(options);
  if (!listening.ok()) return listening.error();
  std::unique_ptr<HttpServer> server(new HttpServer(segment, processes, std::move(listening).value()));
  const std::string threads = std::to_string(options.threads);
  const std::array<const char*, 9> settings = {
      "listening_ports", "127.0.0.1:0",       "num_threads", threads.c_str(), "request_timeout_ms",
      kPatienceMs,       "enable_keep_alive", "no",          nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = &HttpServer::Answer;
  callbacks.init_thread = &HttpServer::BeginThread;
  callbacks.log_message = &KeepLogLine;
  last_log_line.clear();
  server->context_ = ::mg_start(&callbacks, server.get(), const_cast<const char**>(settings.data()));
  if (server->context_ != nullptr) server->socket_ = server->taken_over_.get_future().get();
  if (server->socket_ >= 0) return server;
  return MetricsError{.fault = MetricsFault::kSystem,
                      .os_error = EAGAIN,
                      .message = "cannot start the threads that serve metrics: " + last_log_line};
}

HttpServer::HttpServer(Segment& segment, ServiceProcesses* processes, UniqueFd listening) noexcept
    : segment_(segment),
      processes_(processes),
      port_(ListeningPort(listening.get())),
      listening_(std::move(listening)) {}

HttpServer::~HttpServer() {
  if (context_ == nullptr) return;
  ::shutdown(socket_, SHUT_RDWR);  // or it would look for the end every two seconds only
  ::mg_stop(context_);
}

void HttpServer::AbandonAfterFork() noexcept {
  if (context_ != nullptr) ::close(socket_);
  context_ = nullptr;
}

// Called by each thread before it does anything.
void* HttpServer::BeginThread(const mg_context* context, int thread_type) {
  constexpr int kListener = 0;
  if (thread_type != kListener) return nullptr;
  auto& server = *static_cast<HttpServer*>(::mg_get_user_data(context));
  try {
    server.taken_over_.set_value(server.TakeOver(context));
  } catch (const std::exception&) {  // no memory: civetweb is C and knows no exceptions
    server.taken_over_.set_value(-1);
  }
  return nullptr;
}

// civetweb takes no socket that is open already, does not tell its own, and Debian's cannot make one for IPv6. It knows
// its socket by its number: so ours gets that number, before the thread that waits there does.
int HttpServer::TakeOver(const mg_context* context) {
  std::array<mg_server_port, 1> ports{};
  ::mg_get_server_ports(context, static_cast<int>(ports.size()), ports.data());
  const UniqueFd ours = std::exchange(listening_, UniqueFd());
  const int theirs = FindListening(static_cast<std::uint16_t>(ports[0].port), ours.get());
  return theirs < 0 ? theirs : ::dup3(ours.get(), theirs, O_CLOEXEC);
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
