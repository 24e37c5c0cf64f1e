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

/// The same of version 7: it begins with the time, in milliseconds since 1970 and 4,096ths of one, so that texts and
/// indexes sort by it. 62 bits are random. The clock is the system's: set back, it gives ids that sort before earlier
/// ones.
[[nodiscard]] UuidText GenerateUuid7() noexcept;

}  // namespace reqtrail
