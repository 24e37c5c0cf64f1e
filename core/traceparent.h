#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace reqtrail {

/// The value of a `traceparent` header (W3C Trace Context, level 1): version "-" trace-id "-" parent-id "-" flags.
/// The views point into the text that was parsed. This header allocates nothing, throws nothing and needs no
/// libstdc++ at run time.
struct Traceparent {
  std::uint8_t version = 0;    ///< 0 today; 255 is never valid
  std::string_view trace_id;   ///< 32 lower-case hexadecimal digits, not all zero; a valid request id
  std::string_view parent_id;  ///< 16 lower-case hexadecimal digits, not all zero
  std::uint8_t flags = 0;

  [[nodiscard]] constexpr bool Sampled() const noexcept { return (flags & 1U) != 0; }
};

/// How long a traceparent of version 0 is, and how long one of a later version is at least.
inline constexpr std::size_t kTraceparentBytes = 55;

namespace detail {

// As substr(), which throws as far as the linker knows.
constexpr std::string_view Slice(std::string_view text, std::size_t from, std::size_t size) noexcept {
  return {text.data() + from, size};
}

inline constexpr unsigned kNoHexDigit = 16;

// Upper case is refused: the specification demands lower case.
constexpr std::array<std::uint8_t, 256> HexDigitTable() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoHexDigit);
  for (std::uint8_t digit = 0; digit < 10; ++digit) values[static_cast<std::size_t>('0') + digit] = digit;
  for (std::uint8_t digit = 10; digit < 16; ++digit) values[static_cast<std::size_t>('a') + digit - 10] = digit;
  return values;
}

inline constexpr std::array<std::uint8_t, 256> kHexDigits = HexDigitTable();

constexpr unsigned HexDigit(char digit) noexcept { return kHexDigits[static_cast<unsigned char>(digit)]; }

// Hexadecimal digits only, and one that is not 0.
constexpr bool IsTraceField(std::string_view digits) noexcept {
  unsigned seen = 0;
  for (const char digit : digits) seen |= HexDigit(digit);
  return seen != 0 && seen < kNoHexDigit;
}

constexpr unsigned HexByte(std::string_view digits) noexcept {
  return (HexDigit(digits[0]) * 16) + HexDigit(digits[1]);
}
constexpr bool IsHexByte(std::string_view digits) noexcept {
  return (HexDigit(digits[0]) | HexDigit(digits[1])) < kNoHexDigit;
}

}  // namespace detail

/// Parses `text`, from which the caller has taken white space around it. Nothing if it is none: another length,
/// another character, version ff, a trace-id or parent-id of zeros. A later version may go on after the flags, behind
/// another "-"; what stands there is not looked at. O(1).
[[nodiscard]] constexpr std::optional<Traceparent> ParseTraceparent(std::string_view text) noexcept {
  if (text.size() < kTraceparentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = detail::Slice(text, 0, 2);
  const std::string_view flags = detail::Slice(text, 53, 2);
  if (!detail::IsHexByte(version) || !detail::IsHexByte(flags)) return std::nullopt;
  Traceparent parsed;
  parsed.version = static_cast<std::uint8_t>(detail::HexByte(version));
  if (parsed.version == 0xFF) return std::nullopt;
  if (text.size() > kTraceparentBytes && (parsed.version == 0 || text[kTraceparentBytes] != '-')) return std::nullopt;
  parsed.trace_id = detail::Slice(text, 3, 32);
  parsed.parent_id = detail::Slice(text, 36, 16);
  parsed.flags = static_cast<std::uint8_t>(detail::HexByte(flags));
  if (!detail::IsTraceField(parsed.trace_id) || !detail::IsTraceField(parsed.parent_id)) return std::nullopt;
  return parsed;
}

/// A parsed traceparent as one of version 00, in which it was read: what a later one may have behind the flags is not
/// known to be harmless, and of its flags only the sampled one is known to mean the same. REQUIRES: the text that was
/// parsed is still there.
[[nodiscard]] constexpr std::array<char, kTraceparentBytes> AsVersion0(const Traceparent& parsed) noexcept {
  std::array<char, kTraceparentBytes> text{};
  const char* const start = parsed.trace_id.data() - 3;
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = start[i];
  if (parsed.version != 0) {
    text[0] = text[1] = text[53] = '0';
    text[54] = parsed.Sampled() ? '1' : '0';
  }
  return text;
}

}  // namespace reqtrail
