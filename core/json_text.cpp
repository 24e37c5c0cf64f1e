#include "core/json_text.h"

#include <algorithm>
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

/// Whether each of these eight bytes is plain. May say no when they are.
constexpr bool AreEightPlain(std::uint64_t bytes) {
  constexpr std::uint64_t kEach = 0x0101010101010101;
  constexpr std::uint64_t kHighBits = kEach * 0x80;
  // A byte's high bit ends up set when the byte is not plain; perhaps also that of one behind it.
  const std::uint64_t quote = (bytes ^ (kEach * '"')) - kEach;
  const std::uint64_t backslash = (bytes ^ (kEach * '\\')) - kEach;
  const std::uint64_t del = (bytes ^ (kEach * 0x7F)) - kEach;
  const std::uint64_t control = bytes - (kEach * 0x20);
  return ((bytes | quote | backslash | del | control) & kHighBits) == 0;
}

template <typename Word>
std::uint64_t Load(const char* from) {
  Word word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Whether all of `text` is plain. May say no when it is.
bool IsPlain(std::string_view text) {
  const char* const start = text.data();
  const char* const end = start + text.size();
  if (text.size() >= 8) {
    const char* at = start;
    for (; end - at > 8; at += 8) {
      if (!AreEightPlain(Load<std::uint64_t>(at))) return false;
    }
    return AreEightPlain(Load<std::uint64_t>(end - 8));  // some of them once more
  }
  if (text.size() >= 4) return AreEightPlain(Load<std::uint32_t>(start) | (Load<std::uint32_t>(end - 4) << 32U));
  return std::ranges::all_of(text, [](char byte) { return kPlainBytes[static_cast<unsigned char>(byte)]; });
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

void AppendEscape(TextBuffer& out, std::uint32_t unit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const std::array<char, 6> escape = {
      '\\', 'u', kHex[(unit >> 12U) & 0xFU], kHex[(unit >> 8U) & 0xFU], kHex[(unit >> 4U) & 0xFU], kHex[unit & 0xFU]};
  out.Append({escape.data(), escape.size()});
}

void AppendAsciiSpecial(TextBuffer& out, char byte) {
  switch (byte) {
    case '"': out.Append("\\\""); return;
    case '\\': out.Append("\\\\"); return;
    case '\n': out.Append("\\n"); return;
    case '\r': out.Append("\\r"); return;
    case '\t': out.Append("\\t"); return;
    default: AppendEscape(out, static_cast<unsigned char>(byte));
  }
}

/// Appends the character that starts at text[at], a byte >= 0x80, and returns how many bytes it has.
std::size_t AppendBeyondAscii(TextBuffer& out, std::string_view text, std::size_t at, JsonCharset charset) {
  const Decoded decoded = Decode(text, at);
  const char32_t code_point = decoded.code_point;
  const bool ends_a_line = code_point == 0x85 || code_point == 0x2028 || code_point == 0x2029;
  if (charset == JsonCharset::kUtf8 && code_point != kReplacement && !ends_a_line) {
    out.Append(text.substr(at, decoded.bytes));
  } else if (code_point > 0xFFFF) {
    const char32_t offset = code_point - 0x10000;
    AppendEscape(out, 0xD800 + (offset >> 10U));
    AppendEscape(out, 0xDC00 + (offset & 0x3FFU));
  } else {
    AppendEscape(out, code_point);
  }
  return decoded.bytes;
}

/// Appends seconds as durations are: 0.0001 to 100,000 and whole nanoseconds. Anything else is left alone: false. Of so
/// few digits there is one text only that reads back the same, and to_chars prefers it to an exponent in that range,
/// but for a tenth of a millisecond and its multiples.
bool AppendNanoseconds(TextBuffer& out, double value) {
  constexpr std::uint64_t kNanos = 1'000'000'000;
  constexpr std::uint64_t kTenthOfMillisecond = 100'000;
  if (value < 1e-4 || value >= 1e5) return false;
  const auto nanos = static_cast<std::uint64_t>(std::llround(value * kNanos));
  if (static_cast<double>(nanos) / kNanos != value) return false;
  if (nanos < 10 * kTenthOfMillisecond && nanos % kTenthOfMillisecond == 0) return false;
  constexpr std::size_t kMaxChars = 20;
  char* const to = out.Room(kMaxChars);
  char* end = std::to_chars(to, to + kMaxChars, nanos / kNanos).ptr;
  auto fraction = static_cast<std::uint32_t>(nanos % kNanos);
  if (fraction != 0) *end++ = '.';
  for (std::uint32_t place = kNanos / 10; fraction != 0; place /= 10) {
    *end++ = static_cast<char>('0' + (fraction / place));
    fraction %= place;
  }
  out.Wrote(end);
  return true;
}

}  // namespace

void AppendJsonString(TextBuffer& out, std::string_view text, JsonCharset charset) {
  out.Append('"');
  if (IsPlain(text)) {
    out.Append(text);
    out.Append('"');
    return;
  }
  std::size_t plain_from = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8 && AreEightPlain(Load<std::uint64_t>(text.data() + at))) {
      at += 8;
      continue;
    }
    const char byte = text[at];
    if (kPlainBytes[static_cast<unsigned char>(byte)]) {
      ++at;
      continue;
    }
    out.Append(text.substr(plain_from, at - plain_from));
    if (static_cast<unsigned char>(byte) < 0x80) {
      AppendAsciiSpecial(out, byte);
      ++at;
    } else {
      at += AppendBeyondAscii(out, text, at, charset);
    }
    plain_from = at;
  }
  out.Append(text.substr(plain_from));
  out.Append('"');
}

void AppendJsonNumber(TextBuffer& out, double value) {
  if (!std::isfinite(value)) {
    out.Append("null");
    return;
  }
  if (AppendNanoseconds(out, value)) return;
  constexpr std::size_t kMaxChars = 32;
  char* const to = out.Room(kMaxChars);
  out.Wrote(std::to_chars(to, to + kMaxChars, value).ptr);
}

void AppendJsonNumber(TextBuffer& out, long long value) {
  constexpr std::size_t kMaxChars = 20;
  char* const to = out.Room(kMaxChars);
  out.Wrote(std::to_chars(to, to + kMaxChars, value).ptr);
}

}  // namespace reqtrail
