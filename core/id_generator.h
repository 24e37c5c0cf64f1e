#pragma once

#include <array>

namespace reqtrail {

inline constexpr std::size_t kUuidChars = 36;

/// The text of a UUID: 36 lower-case characters, without a terminating NUL.
using UuidText = std::array<char, kUuidChars>;

/// A random UUID (RFC 9562, version 4). Its 122 bits come from ChaCha20 under a key of the kernel's CSPRNG, a new one
/// for each block of ids; blocks are a thread's own, and a child process discards the one that it inherited, so that no
/// two processes emit the same id. Any thread may call it, between fork and exec as well. It cannot fail: without a
/// working getrandom(2) the process is ended by abort().
[[nodiscard]] UuidText GenerateUuid4() noexcept;

}  // namespace reqtrail
