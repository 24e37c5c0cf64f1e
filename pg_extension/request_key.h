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

/// A seeded 64-bit hash of an id. It depends on the id alone, so that all keys of one request meet in one shard and in
/// one probe chain. The seed is random per server start: clients choose ids, and shall not be able to choose chains.
[[nodiscard]] inline std::uint64_t HashRequestId(std::string_view id, std::uint64_t seed) noexcept {
  __extension__ using Wide = unsigned __int128;
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15U;
  const auto mix = [](std::uint64_t value) {
    const Wide product = static_cast<Wide>(value) * kOdd;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  };
  std::uint64_t hash = seed ^ (id.size() * kOdd);
  std::uint64_t word = 0;
  while (id.size() >= sizeof word) {
    std::memcpy(&word, id.data(), sizeof word);
    hash = mix(hash ^ word) + seed;
    id.remove_prefix(sizeof word);
  }
  word = 0;
  std::memcpy(&word, id.data(), id.size());
  return mix(mix(hash ^ word) + seed);
}

}  // namespace reqtrail
