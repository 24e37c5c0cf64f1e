#include "metrics/sample_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace reqtrail {
namespace {

constexpr std::size_t kNumberChars = 32;
constexpr std::uint64_t kNanosecondsPerMillisecond = 1'000'000;
constexpr std::uint64_t kMillisecondsPerSecond = 1000;

template <typename Number>
void AppendChars(std::string& out, Number number) {
  std::array<char, kNumberChars> chars{};
  const auto [end, error] = std::to_chars(chars.data(), chars.data() + chars.size(), number);
  if (error == std::errc()) out.append(chars.data(), end);
}

constexpr bool IsContinuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// The bytes of the UTF-8 character at the front; 0 if there is none (overlong forms and surrogates are none).
std::size_t CharacterBytes(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80U) return 1;
  std::size_t bytes = 0;
  if (lead >= 0xC2U && lead <= 0xDFU) bytes = 2;
  if (lead >= 0xE0U && lead <= 0xEFU) bytes = 3;
  if (lead >= 0xF0U && lead <= 0xF4U) bytes = 4;
  if (bytes == 0 || text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool is_out_of_range = (lead == 0xE0U && second < 0xA0U) || (lead == 0xEDU && second > 0x9FU) ||
                               (lead == 0xF0U && second < 0x90U) || (lead == 0xF4U && second > 0x8FU);
  return is_out_of_range ? 0 : bytes;
}

}  // namespace

void AppendNumber(std::string& out, double number) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number > 0 ? "+Inf" : "-Inf";
  } else {
    AppendChars(out, number);
  }
}

void AppendNumber(std::string& out, std::uint64_t number) { AppendChars(out, number); }

void AppendBound(std::string& out, double bound) {
  const std::size_t start = out.size();
  AppendNumber(out, bound);
  if (out.find_first_of(".enI", start) == std::string::npos) out += ".0";
}

void AppendSeconds(std::string& out, std::uint64_t unix_ns) {
  const std::uint64_t milliseconds = unix_ns / kNanosecondsPerMillisecond;
  AppendChars(out, milliseconds / kMillisecondsPerSecond);
  const std::string fraction = std::to_string(kMillisecondsPerSecond + (milliseconds % kMillisecondsPerSecond));
  out += '.';
  out.append(fraction, 1);
}

void AppendEscaped(std::string& out, std::string_view text, bool quotes) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (!text.empty()) {
    const std::size_t bytes = CharacterBytes(text);
    const char c = text[0];
    if (bytes == 0) {
      out += kReplacement;
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
}

}  // namespace reqtrail
