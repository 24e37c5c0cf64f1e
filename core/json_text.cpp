#include "core/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace reqtrail {
namespace {

constexpr std::array<bool, 256> PlainBytes() {
  std::array<bool, 256> plain{};
  for (unsigned byte = 0x20; byte < 0x7F; ++byte) plain[byte] = byte != '"' && byte != '\\';
  return plain;
}

constexpr std::array<bool, 256> kPlainBytes = PlainBytes();

/// How many bytes from `at` on are plain for certain: all of the next eight, or none.
std::size_t EightPlainBytes(std::string_view text, std::size_t at) {
  constexpr std::uint64_t kEach = 0x0101010101010101;
  constexpr std::uint64_t kHighBits = kEach * 0x80;
  if (text.size() - at < 8) return 0;
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, text.data() + at, 8);
  // A byte's high bit ends up set when the byte is not plain; perhaps also that of one behind it.
  const auto zero = [](std::uint64_t x) { return x - kEach; };
  const std::uint64_t quote = zero(bytes ^ (kEach * '"'));
  const std::uint64_t backslash = zero(bytes ^ (kEach * '\\'));
  const std::uint64_t del = zero(bytes ^ (kEach * 0x7F));
  const std::uint64_t control = bytes - (kEach * 0x20);
  return ((bytes | quote | backslash | del | control) & kHighBits) == 0 ? 8 : 0;
}

constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t code_point;
  std::size_t bytes;
};

/// The character that starts at text[at], a byte >= 0x80.
Decoded Decode(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  std::size_t bytes = 0;
  char32_t code_point = 0;
  char32_t smallest = 0;
  if ((lead & 0xE0U) == 0xC0) {
    bytes = 2, code_point = lead & 0x1FU, smallest = 0x80;
  } else if ((lead & 0xF0U) == 0xE0) {
    bytes = 3, code_point = lead & 0x0FU, smallest = 0x800;
  } else if ((lead & 0xF8U) == 0xF0) {
    bytes = 4, code_point = lead & 0x07U, smallest = 0x10000;
  }
  if (bytes == 0 || bytes > text.size() - at) return {.code_point = kReplacement, .bytes = 1};
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xC0U) != 0x80) return {.code_point = kReplacement, .bytes = 1};
    code_point = (code_point << 6U) | (next & 0x3FU);
  }
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < smallest || code_point > 0x10FFFF || surrogate) return {.code_point = kReplacement, .bytes = bytes};
  return {.code_point = code_point, .bytes = bytes};
}

void AppendEscape(std::string& out, std::uint32_t unit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const std::array<char, 6> escape = {
      '\\', 'u', kHex[(unit >> 12U) & 0xFU], kHex[(unit >> 8U) & 0xFU], kHex[(unit >> 4U) & 0xFU], kHex[unit & 0xFU]};
  out.append(escape.data(), escape.size());
}

void AppendAsciiSpecial(std::string& out, char byte) {
  switch (byte) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: AppendEscape(out, static_cast<unsigned char>(byte));
  }
}

/// Appends the character that starts at text[at], a byte >= 0x80, and returns how many bytes it has.
std::size_t AppendBeyondAscii(std::string& out, std::string_view text, std::size_t at, JsonCharset charset) {
  const Decoded decoded = Decode(text, at);
  const char32_t code_point = decoded.code_point;
  const bool ends_a_line = code_point == 0x85 || code_point == 0x2028 || code_point == 0x2029;
  if (charset == JsonCharset::kUtf8 && code_point != kReplacement && !ends_a_line) {
    out.append(text, at, decoded.bytes);
  } else if (code_point > 0xFFFF) {
    const char32_t offset = code_point - 0x10000;
    AppendEscape(out, 0xD800 + (offset >> 10U));
    AppendEscape(out, 0xDC00 + (offset & 0x3FFU));
  } else {
    AppendEscape(out, code_point);
  }
  return decoded.bytes;
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text, JsonCharset charset) {
  out += '"';
  std::size_t plain_from = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    if (const std::size_t plain = EightPlainBytes(text, at); plain > 0) {
      at += plain;
      continue;
    }
    const char byte = text[at];
    if (kPlainBytes[static_cast<unsigned char>(byte)]) {
      ++at;
      continue;
    }
    out.append(text, plain_from, at - plain_from);
    if (static_cast<unsigned char>(byte) < 0x80) {
      AppendAsciiSpecial(out, byte);
      ++at;
    } else {
      at += AppendBeyondAscii(out, text, at, charset);
    }
    plain_from = at;
  }
  out.append(text, plain_from, at - plain_from);
  out += '"';
}

void AppendJsonNumber(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits;  // NOLINT(cppcoreguidelines-pro-type-member-init): to_chars fills it
  const std::to_chars_result end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end.ptr);
}

}  // namespace reqtrail
