#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "core/request_id.h"

namespace reqtrail {

/// A request id by value. Only the first `size` bytes mean anything, and Assign copies only those.
struct RequestId {
  std::uint8_t size = 0;             // 0: no id
  char bytes[kRequestIdMaxBytes]{};  // not NUL-terminated

  [[nodiscard]] std::string_view View() const noexcept { return {bytes, size}; }

  /// REQUIRES: id.size() <= kRequestIdMaxBytes.
  void Assign(std::string_view id) noexcept {
    size = static_cast<std::uint8_t>(id.size());
    std::memcpy(bytes, id.data(), id.size());
  }
};
static_assert(sizeof(RequestId) == kRequestIdMaxBytes + 1 && std::is_trivially_copyable_v<RequestId>);

/// What a record is kept under: the request, and for which database and role (by oid) it worked.
struct RequestKey {
  std::uint32_t database = 0;
  std::uint32_t role = 0;
  RequestId id;

  void Assign(const RequestKey& other) noexcept {
    database = other.database;
    role = other.role;
    id.Assign(other.id.View());
  }
  [[nodiscard]] bool Equals(const RequestKey& other) const noexcept {
    return database == other.database && role == other.role && id.View() == other.id.View();
  }
};
static_assert(std::is_standard_layout_v<RequestKey> && std::is_trivially_copyable_v<RequestKey>);

namespace detail {

template <typename Word>
std::uint64_t ReadWord(const char* bytes) noexcept {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

inline std::uint64_t MultiplyAndFold(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace detail

/// A seeded 64-bit hash (the construction of wyhash: 16 bytes a multiplication).
[[nodiscard]] inline std::uint64_t HashBytes(std::string_view text, std::uint64_t seed) noexcept {
  using detail::MultiplyAndFold;
  using detail::ReadWord;
  // Of bytes that no id, and hardly a text, has, so that none makes a factor zero.
  constexpr std::uint64_t kFirst = 0x9E3779B97F4A7C15U;
  constexpr std::uint64_t kSecond = 0xE7037ED1A0B428DBU;
  std::uint64_t hash = MultiplyAndFold(seed ^ kFirst, text.size() ^ kSecond);
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left > 16; left -= 16, at += 16) {
    hash = MultiplyAndFold(ReadWord<std::uint64_t>(at) ^ kFirst, ReadWord<std::uint64_t>(at + 8) ^ hash);
  }
  std::uint64_t head = 0;
  std::uint64_t tail = 0;  // the two may overlap
  if (left >= 8) {
    head = ReadWord<std::uint64_t>(at);
    tail = ReadWord<std::uint64_t>(at + left - 8);
  } else if (left >= 4) {
    head = ReadWord<std::uint32_t>(at);
    tail = ReadWord<std::uint32_t>(at + left - 4);
  } else if (left > 0) {
    head = ReadWord<std::uint8_t>(at);
    tail = (ReadWord<std::uint8_t>(at + (left / 2)) << 8U) | ReadWord<std::uint8_t>(at + left - 1);
  }
  return MultiplyAndFold(kSecond ^ hash, MultiplyAndFold(head ^ kFirst, tail ^ hash));
}

/// HashBytes of an id. It depends on the id alone, so that all keys of one request meet in one shard and in one probe
/// chain. The seed is random per server start: clients choose ids, and shall not be able to choose chains.
[[nodiscard]] inline std::uint64_t HashRequestId(std::string_view id, std::uint64_t seed) noexcept {
  return HashBytes(id, seed);
}

}  // namespace reqtrail
