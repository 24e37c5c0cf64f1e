#include "metrics/listening_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "metrics/unique_fd.h"

namespace reqtrail {
namespace {

UniqueFd ListenOrFail(const std::string& address, std::uint16_t port = 0) {
  Result<UniqueFd> fd = ListenAt(address, port);
  if (fd.ok()) return std::move(fd).value();
  ADD_FAILURE() << fd.error().message;
  return UniqueFd();
}

struct Pair {
  UniqueFd first;
  UniqueFd second;
};

// Sockets that listen at the same port of two addresses, the first of them with the lower number.
Pair ListenAtTheSamePort(const std::string& first, const std::string& second) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    Result<UniqueFd> one = ListenAt(first, 0);
    if (!one.ok()) break;
    Result<UniqueFd> other = ListenAt(second, ListeningPort(one.value().get()));
    if (!other.ok()) continue;  // somebody else is there
    Pair pair{.first = std::move(one).value(), .second = std::move(other).value()};
    if (pair.first.get() < pair.second.get()) return pair;
  }
  ADD_FAILURE() << "no port is free at both " << first << " and " << second;
  return {.first = UniqueFd(), .second = UniqueFd()};
}

class SamePortTest : public testing::TestWithParam<const char*> {};

TEST_P(SamePortTest, OnlyTheSocketAtLoopbackIsFound) {
  const Pair theirs_first = ListenAtTheSamePort(GetParam(), "127.0.0.1");
  EXPECT_EQ(FindLoopbackListener(ListeningPort(theirs_first.second.get())), theirs_first.second.get());

  const Pair ours_first = ListenAtTheSamePort("127.0.0.1", GetParam());
  EXPECT_EQ(FindLoopbackListener(ListeningPort(ours_first.first.get())), ours_first.first.get());
}

TEST_P(SamePortTest, WithoutOneAtLoopbackThereIsNone) {
  const UniqueFd other = ListenOrFail(GetParam());
  EXPECT_EQ(FindLoopbackListener(ListeningPort(other.get())), -ENOENT);
}

INSTANTIATE_TEST_SUITE_P(Addresses, SamePortTest, testing::Values("127.0.0.2", "::1"),
                         [](const auto& address) { return address.param[0] == ':' ? "IPv6" : "IPv4"; });

TEST(FindLoopbackListenerTest, ASocketThatIsBoundButDoesNotListenIsNotFound) {
  const UniqueFd bound(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(bound);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(bound.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(bound.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(FindLoopbackListener(ntohs(address.sin_port)), -ENOENT);
}

TEST(FindLoopbackListenerTest, NoSocketListensAtPortZero) { EXPECT_EQ(FindLoopbackListener(0), -EINVAL); }

}  // namespace
}  // namespace reqtrail
