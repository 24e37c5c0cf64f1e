#include "core/utc_time.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>

namespace reqtrail {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr double kLastSecond = 253'402'300'799;  // 9999-12-31T23:59:59Z

/// Writes `value` right-aligned with leading zeros.
template <std::size_t Digits>
void WriteDigits(char* to, std::uint32_t value) noexcept {
  for (std::size_t i = Digits; i-- > 0; value /= 10) to[i] = static_cast<char>('0' + (value % 10));
}

}  // namespace

void UtcTimeWriter::Append(TextBuffer& out, double seconds) {
  const double clamped = std::min(seconds > 0 ? seconds : 0, kLastSecond);  // NaN compares false
  auto second = static_cast<std::int64_t>(clamped);
  const auto whole = static_cast<double>(second);
  std::int64_t micros = std::llround((clamped - whole) * static_cast<double>(kMicrosPerSecond));
  if (micros == kMicrosPerSecond) {
    micros = 0;
    ++second;
  }
  if (second != second_) WriteSecond(second);
  char* const to = out.Room(kSecondChars + 7);
  std::memcpy(to, text_.data(), kSecondChars);
  WriteDigits<6>(to + kSecondChars, static_cast<std::uint32_t>(micros));
  to[kSecondChars + 6] = 'Z';
  out.Wrote(to + kSecondChars + 7);
}

void UtcTimeWriter::WriteSecond(std::int64_t second) noexcept {
  const std::time_t time = second;
  std::tm parts{};
  (void)gmtime_r(&time, &parts);
  WriteDigits<4>(text_.data(), static_cast<std::uint32_t>(parts.tm_year + 1900));
  text_[4] = '-';
  WriteDigits<2>(&text_[5], static_cast<std::uint32_t>(parts.tm_mon + 1));
  text_[7] = '-';
  WriteDigits<2>(&text_[8], static_cast<std::uint32_t>(parts.tm_mday));
  text_[10] = 'T';
  WriteDigits<2>(&text_[11], static_cast<std::uint32_t>(parts.tm_hour));
  text_[13] = ':';
  WriteDigits<2>(&text_[14], static_cast<std::uint32_t>(parts.tm_min));
  text_[16] = ':';
  WriteDigits<2>(&text_[17], static_cast<std::uint32_t>(parts.tm_sec));
  text_[19] = '.';
  second_ = second;
}

}  // namespace reqtrail
