#include "metrics/http_server.h"

#include <civetweb.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <future>
#include <mutex>
#include <string_view>
#include <utility>

#include "metrics/accept.h"
#include "metrics/exposition.h"
#include "metrics/gzip.h"
#include "metrics/listening_socket.h"

namespace reqtrail {
namespace {

constexpr const char* kPatienceMs = "5000";  // a client that says nothing must not keep a thread for long
constexpr auto kStartPatience = std::chrono::seconds(10);
constexpr int kHandled = 1;

// What civetweb says while it starts, which it does in the thread that starts it.
thread_local std::string last_log_line;

int KeepLogLine(const mg_connection* /*connection*/, const char* message) {
  try {
    last_log_line = message;
  } catch (const std::exception&) {  // no memory: civetweb is C and knows no exceptions
    last_log_line.clear();
  }
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

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(Segment& segment, ServiceProcesses* processes,
                                                      const HttpServerOptions& options) {
  static std::once_flag initialized;
  std::call_once(initialized, [] { ::mg_init_library(0); });

  Result<UniqueFd> listening = ListenAt(options.address, options.port);
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
  if (server->context_ == nullptr) {
    return MetricsError{.fault = MetricsFault::kSystem,
                        .os_error = EAGAIN,
                        .message = "cannot start the threads that serve metrics: " + last_log_line};
  }
  std::future<int> taken_over = server->taken_over_.get_future();
  if (taken_over.wait_for(kStartPatience) != std::future_status::ready && !server->is_decided_.exchange(true)) {
    server->listening_ = UniqueFd();
    [[maybe_unused]] const HttpServer* left_behind = server.release();  // its threads may come to it at any time
    return SystemError("cannot start the thread that serves metrics", ETIMEDOUT);
  }
  server->socket_ = taken_over.get();
  if (server->socket_ < 0) return SystemError("cannot take over the socket that serves metrics", -server->socket_);
  return server;
}

HttpServer::HttpServer(Segment& segment, ServiceProcesses* processes, UniqueFd listening) noexcept
    : segment_(segment),
      processes_(processes),
      port_(ListeningPort(listening.get())),
      listening_(std::move(listening)) {}

HttpServer::~HttpServer() {
  if (context_ == nullptr) return;
  if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);  // or it would look for the end every two seconds only
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
  // Start has given up, and the segment may be gone. Only a thread that stays here cannot answer anybody.
  while (server.is_decided_.exchange(true)) ::pause();
  int taken_over = -1;
  try {
    taken_over = server.TakeOver(context);
  } catch (const std::exception&) {  // no memory: civetweb is C and knows no exceptions
    taken_over = -ENOMEM;
  }
  server.taken_over_.set_value(taken_over);
  return nullptr;
}

// civetweb takes no socket that is open already, does not tell its own, and Debian's cannot make one for IPv6. It knows
// its socket by its number: so ours gets that number, before the thread that waits there does.
int HttpServer::TakeOver(const mg_context* context) {
  std::array<mg_server_port, 1> ports{};
  ::mg_get_server_ports(context, static_cast<int>(ports.size()), ports.data());
  const UniqueFd ours = std::exchange(listening_, UniqueFd());
  const int theirs = FindLoopbackListener(static_cast<std::uint16_t>(ports[0].port));
  if (theirs < 0) return theirs;
  return ::dup3(ours.get(), theirs, O_CLOEXEC) < 0 ? -errno : theirs;
}

// Called before civetweb looks for files, so that nothing but this answers.
int HttpServer::Answer(mg_connection* connection) {
  try {
    return AnswerOrThrow(connection);
  } catch (const std::exception&) {  // no memory: civetweb is C and knows no exceptions
    constexpr std::string_view kSorry =
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    ::mg_write(connection, kSorry.data(), kSorry.size());
    return kHandled;
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
