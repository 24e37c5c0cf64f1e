#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "core/text_buffer.h"

namespace reqtrail {

/// Writes points in time as RFC 3339 in UTC with microseconds: 2026-11-24T07:08:09.000123Z. Keeps the text of the last
/// second, because log lines come many to a second. Not thread-safe: one object has one user at a time.
class UtcTimeWriter {
 public:
  /// Appends `seconds` since 1970-01-01T00:00:00Z, rounded to the nearest microsecond. NaN, and what is outside of the
  /// years 1970 to 9999, becomes the nearest bound (NaN the lower one). Throws std::bad_alloc.
  void Append(TextBuffer& out, double seconds);

 private:
  static constexpr std::size_t kSecondChars = 20;  // with the dot

  void WriteSecond(std::int64_t second) noexcept;

  std::int64_t second_ = std::numeric_limits<std::int64_t>::min();
  std::array<char, kSecondChars> text_{};
};

}  // namespace reqtrail
