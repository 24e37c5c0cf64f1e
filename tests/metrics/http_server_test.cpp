// The native server as its clients see it: over sockets.
#include "metrics/http_server.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "metrics/unique_fd.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);

std::size_t OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

// A client at the loopback address of this family; `flags` are added to those of the socket.
UniqueFd Connect(int family, std::uint16_t port, int flags = 0) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  v6.sin6_port = htons(port);
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  v4.sin_port = htons(port);
  const bool is_v6 = family == AF_INET6;
  const auto* address = is_v6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
  const socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
  if (::connect(fd.get(), address, size) != 0 && errno != EINPROGRESS) return UniqueFd();
  return fd;
}

// What the server says until it ends the connection.
std::string ReadAll(const UniqueFd& client) {
  std::string answer;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t bytes = ::recv(client.get(), part.data(), part.size(), 0);
    if (bytes <= 0) return answer;
    answer.append(part.data(), static_cast<std::size_t>(bytes));
  }
}

std::string Ask(int family, std::uint16_t port, std::string_view request) {
  const UniqueFd client = Connect(family, port);
  if (!client) return "no connection";
  const std::string text = std::string(request) + " HTTP/1.1\r\nHost: test\r\n\r\n";
  ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
  return ReadAll(client);
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() : segment_(OpenOrFail(OptionsIn(directory_))) {
    CounterOf(FamilyOrFail(*segment_, {.name = "hits"}), {}).Inc(3);
  }

  [[nodiscard]] std::unique_ptr<HttpServer> Start(const HttpServerOptions& options = {}) const {
    Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(*segment_, nullptr, options);
    if (server.ok()) return std::move(server).value();
    ADD_FAILURE() << server.error().message;
    return nullptr;
  }

  [[nodiscard]] MetricsError Refusal(const HttpServerOptions& options) const {
    const Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(*segment_, nullptr, options);
    if (!server.ok()) return server.error();
    ADD_FAILURE() << "it listens";
    return {};
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_;
};

struct Loopback {
  const char* address;
  int family;
  int other_family;
};

class LoopbackTest : public HttpServerTest, public testing::WithParamInterface<Loopback> {};

TEST_P(LoopbackTest, ItAnswersAtAFreePortUntilItEnds) {
  const auto [address, family, other_family] = GetParam();
  std::unique_ptr<HttpServer> server = Start({.address = address});
  ASSERT_NE(server, nullptr);
  const std::uint16_t port = server->port();
  EXPECT_GT(port, 0);
  for (const char* path : {"GET /metrics", "GET /", "GET /metrics?name[]=hits_total"}) {
    const std::string answer = Ask(family, port, path);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("\r\n\r\n# HELP hits_total "), std::string::npos) << answer;
    EXPECT_NE(answer.find("\nhits_total 3\n"), std::string::npos) << answer;
  }
  EXPECT_TRUE(Ask(family, port, "GET /elsewhere").starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(
      Ask(family, port, "POST /metrics").starts_with("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"));
  const std::string head = Ask(family, port, "HEAD /metrics");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n")) << head;
  EXPECT_FALSE(Connect(other_family, port)) << "it listens where it was told to, and nowhere else";
  server.reset();
  EXPECT_FALSE(Connect(family, port));
  EXPECT_EQ(Start({.address = address, .port = port})->port(), port) << "the port is free again";
}

TEST_P(LoopbackTest, APortThatIsTakenIsAnErrorThatSaysSo) {
  const char* address = GetParam().address;
  const std::unique_ptr<HttpServer> server = Start({.address = address});
  ASSERT_NE(server, nullptr);
  const MetricsError error = Refusal({.address = address, .port = server->port()});
  EXPECT_EQ(error.os_error, EADDRINUSE);
  EXPECT_EQ(error.message, "cannot serve metrics at " + std::string(address) + " port " +
                               std::to_string(server->port()) + ": Address already in use");
  EXPECT_TRUE(Ask(GetParam().family, server->port(), "GET /").starts_with("HTTP/1.1 200")) << "the first one goes on";
}

INSTANTIATE_TEST_SUITE_P(Families, LoopbackTest,
                         testing::Values(Loopback{"127.0.0.1", AF_INET, AF_INET6}, Loopback{"::1", AF_INET6, AF_INET}),
                         [](const auto& loopback) { return loopback.param.family == AF_INET ? "IPv4" : "IPv6"; });

TEST_F(HttpServerTest, AnAddressThatIsNotOfThisHostIsRefused) {
  EXPECT_EQ(Refusal({.address = "192.0.2.1"}).os_error, EADDRNOTAVAIL);
  EXPECT_EQ(Refusal({.address = "localhost"}).os_error, EADDRNOTAVAIL) << "a name: whoever calls looks it up";
}

TEST_F(HttpServerTest, ItEndsWhileClientsAreConnected) {
  std::unique_ptr<HttpServer> server = Start();
  ASSERT_NE(server, nullptr);
  const UniqueFd silent = Connect(AF_INET, server->port());
  const UniqueFd half = Connect(AF_INET, server->port());
  constexpr std::string_view kHalf = "GET /metrics HTTP/1.1\r\nHost:";
  ASSERT_EQ(::send(half.get(), kHalf.data(), kHalf.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kHalf.size()));
  EXPECT_TRUE(Ask(AF_INET, server->port(), "GET /").starts_with("HTTP/1.1 200")) << "they were let in before this one";
  server.reset();
  EXPECT_EQ(ReadAll(silent), "");
  EXPECT_EQ(ReadAll(half).find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, ClientsThatSayNothingTakeABoundedNumberOfDescriptorsAndThreads) {
  constexpr unsigned kThreads = 2;
  constexpr std::size_t kClients = 100;
  constexpr std::size_t kLetIn = kThreads + 20 + 1;  // answered, queued by civetweb, and the one about to be queued
  const std::unique_ptr<HttpServer> server = Start({.threads = kThreads});
  ASSERT_NE(server, nullptr);
  EXPECT_TRUE(Ask(AF_INET, server->port(), "GET /").starts_with("HTTP/1.1 200"));
  const std::size_t before = OpenDescriptors();
  std::vector<UniqueFd> clients;
  clients.reserve(kClients);
  for (std::size_t i = 0; i < kClients; ++i) clients.push_back(Connect(AF_INET, server->port(), SOCK_NONBLOCK));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::size_t let_in = 0;
  std::size_t most = 0;
  while (let_in < kThreads + 20 && std::chrono::steady_clock::now() < deadline) {
    let_in = OpenDescriptors() - before - kClients;
    most = std::max(most, let_in);
    std::this_thread::yield();
  }
  EXPECT_GE(most, kThreads + 20) << "they came";
  EXPECT_LE(most, kLetIn);
  clients.clear();
  EXPECT_TRUE(Ask(AF_INET, server->port(), "GET /").starts_with("HTTP/1.1 200")) << "and it goes on";
}

}  // namespace
}  // namespace reqtrail
