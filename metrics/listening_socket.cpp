#include "metrics/listening_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>
#include <string_view>

namespace reqtrail {
namespace {

constexpr int kBacklog = 16;  // clients that wait in the kernel; more are not let in

int ErrnoOf(int lookup_error) noexcept {
  if (lookup_error == EAI_SYSTEM) return errno;
  return lookup_error == EAI_MEMORY ? ENOMEM : EADDRNOTAVAIL;
}

// Where `fd` listens; of the family AF_UNSPEC when it is no listening socket.
sockaddr_storage ListeningAddress(int fd) noexcept {
  sockaddr_storage address{};
  int is_listening = 0;
  socklen_t size = sizeof(is_listening);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 || is_listening == 0) return address;
  size = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) address.ss_family = AF_UNSPEC;
  return address;
}

bool ListensAtLoopback(int fd, std::uint16_t port) noexcept {
  const sockaddr_storage address = ListeningAddress(fd);
  if (address.ss_family != AF_INET) return false;
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  return ntohl(v4.sin_addr.s_addr) == INADDR_LOOPBACK && ntohs(v4.sin_port) == port;
}

}  // namespace

Result<UniqueFd> ListenAt(const std::string& address, std::uint16_t port) {
  const std::string port_text = std::to_string(port);
  const auto refusal = [&](int os_error) {
    return SystemError("cannot serve metrics at " + address + " port " + port_text, os_error);
  };
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), port_text.c_str(), &hints, &found); error != 0) {
    return refusal(ErrnoOf(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> target(found, &::freeaddrinfo);
  UniqueFd fd(::socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(fd.get(), target->ai_addr, target->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return refusal(errno);
  }
  return fd;
}

std::uint16_t ListeningPort(int fd) noexcept {
  const sockaddr_storage address = ListeningAddress(fd);
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port) : 0;
}

int FindLoopbackListener(std::uint16_t port) {
  if (port == 0) return -EINVAL;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    int fd = -1;
    (void)std::from_chars(name.data(), name.data() + name.size(), fd);
    if (ListensAtLoopback(fd, port)) return fd;
  }
  return error ? -error.value() : -ENOENT;
}

}  // namespace reqtrail
