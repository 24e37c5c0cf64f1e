#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace reqtrail {

/// The one definition of a request id, shared by the middleware, the worker hooks and the PostgreSQL extension:
/// 1 to 128 bytes of `[A-Za-z0-9._-]`. Such an id needs no quoting in an HTTP header, a SQL literal, a SQL comment,
/// a JSON string or a log line. This header allocates nothing, throws nothing and needs no libstdc++ at run time.
inline constexpr std::size_t kRequestIdMaxBytes = 128;

/// Why a string is not a request id, in the order in which the reasons are looked for.
enum class RequestIdFault : unsigned char { kNone, kEmpty, kTooLong, kForbiddenByte };

namespace detail {

constexpr std::array<bool, 256> RequestIdByteTable() {
  std::array<bool, 256> allowed{};
  for (unsigned byte = 0; byte < allowed.size(); ++byte) {
    allowed[byte] = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                    byte == '.' || byte == '_' || byte == '-';
  }
  return allowed;
}

inline constexpr std::array<bool, 256> kRequestIdBytes = RequestIdByteTable();

}  // namespace detail

/// Says what is wrong with `id`, or kNone. O(size), and O(1) for a string that is too long.
[[nodiscard]] constexpr RequestIdFault CheckRequestId(std::string_view id) noexcept {
  if (id.empty()) return RequestIdFault::kEmpty;
  if (id.size() > kRequestIdMaxBytes) return RequestIdFault::kTooLong;
  bool allowed = true;  // without an early exit: ids are good, and the loop is shorter
  for (const char byte : id) allowed &= detail::kRequestIdBytes[static_cast<unsigned char>(byte)];
  if (!allowed) return RequestIdFault::kForbiddenByte;
  return RequestIdFault::kNone;
}

[[nodiscard]] constexpr bool IsRequestId(std::string_view id) noexcept {
  return CheckRequestId(id) == RequestIdFault::kNone;
}

/// The reason as text for a person, static and NUL-terminated; "" for kNone. It never quotes the refused value.
[[nodiscard]] constexpr const char* Describe(RequestIdFault fault) noexcept {
  switch (fault) {
    case RequestIdFault::kNone: return "";
    case RequestIdFault::kEmpty: return "it is empty";
    case RequestIdFault::kTooLong: return "it is longer than 128 bytes";
    case RequestIdFault::kForbiddenByte: return "it has a character other than A-Z, a-z, 0-9, '.', '_' and '-'";
  }
  return "";
}

}  // namespace reqtrail
