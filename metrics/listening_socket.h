#pragma once

#include <cstdint>
#include <string>

#include "metrics/result.h"
#include "metrics/unique_fd.h"

namespace reqtrail {

/// A socket that listens at `address` (of this host, IPv4 or IPv6, in digits) and `port` (0: a free one), does not
/// block and is closed by exec. kSystem, with its errno (EADDRINUSE for a port that is taken), when it cannot.
[[nodiscard]] Result<UniqueFd> ListenAt(const std::string& address, std::uint16_t port);

/// The port that `fd`, a listening socket, listens at; 0 for anything else.
[[nodiscard]] std::uint16_t ListeningPort(int fd) noexcept;

/// The socket of this process that listens at 127.0.0.1 and `port`; those at the same port of another address are
/// none. Without one, or where it cannot be looked for, an errno with its sign changed. May throw std::bad_alloc.
[[nodiscard]] int FindLoopbackListener(std::uint16_t port);

}  // namespace reqtrail
