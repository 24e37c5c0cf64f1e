#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reqtrail {

/// The names of values that are not to be logged, as JSON writes them (without the quotes). Upper and lower case of A-Z
/// are the same.
class RedactedKeys {
 public:
  RedactedKeys() = default;

  explicit RedactedKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {
    for (std::string& key : keys_) std::ranges::transform(key, key.begin(), Lower);
  }

  [[nodiscard]] bool Contains(std::string_view key) const noexcept {
    return std::ranges::any_of(keys_, [key](const std::string& redacted) {
      return std::ranges::equal(redacted, key, {}, {}, Lower);  // of two lengths: false at once
    });
  }

 private:
  static constexpr char Lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

  std::vector<std::string> keys_;
};

}  // namespace reqtrail
