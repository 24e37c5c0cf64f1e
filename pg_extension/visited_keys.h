#pragma once

#include <array>

#include "pg_extension/request_key.h"

namespace reqtrail {

/// The keys whose parts were closed before their transaction ended, to be told how it ended. Backend-local.
class VisitedKeys {
 public:
  struct Visited {
    RequestKey key;
    std::uint64_t hash = 0;
  };

  [[nodiscard]] bool Has(const RequestKey& key) const noexcept {
    for (int i = 0; i < count_; ++i) {
      if (keys_[i].key.Equals(key)) return true;
    }
    return false;
  }

  /// Returns false if there is no more room.
  [[nodiscard]] bool Add(const RequestKey& key, std::uint64_t hash) noexcept {
    if (count_ == kMax) return false;
    keys_[count_].key.Assign(key);
    keys_[count_].hash = hash;
    ++count_;
    return true;
  }

  void Clear() noexcept { count_ = 0; }
  [[nodiscard]] bool IsEmpty() const noexcept { return count_ == 0; }
  [[nodiscard]] const Visited* begin() const noexcept { return keys_.data(); }
  [[nodiscard]] const Visited* end() const noexcept { return keys_.data() + count_; }

 private:
  static constexpr int kMax = 8;
  int count_ = 0;
  std::array<Visited, kMax> keys_;
};

}  // namespace reqtrail
