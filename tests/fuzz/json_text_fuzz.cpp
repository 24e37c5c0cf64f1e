// The JSON writer: what it writes is one line of valid JSON, and reads back as the text that was given, whichever
// character set it is written for.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/json_text.h"
#include "tests/fuzz/expect.h"

namespace reqtrail {
namespace {

using CodePoints = std::vector<std::uint32_t>;

// Reads valid UTF-8; a finding if it is not.
std::uint32_t ReadUtf8(const std::string& text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text.at(i))); };
  const std::uint32_t lead = byte(at++);
  if (lead < 0x80) return lead;
  REQTRAIL_EXPECT(lead >= 0xC2 && lead <= 0xF4);
  const int more = lead < 0xE0 ? 1 : 2 + static_cast<int>(lead >= 0xF0);
  std::uint32_t code_point = lead & (0x3FU >> static_cast<unsigned>(more));
  for (int i = 0; i < more; ++i) {
    REQTRAIL_EXPECT(at < text.size() && (byte(at) & 0xC0U) == 0x80);
    code_point = (code_point << 6U) | (byte(at++) & 0x3FU);
  }
  constexpr std::uint32_t kSmallest[] = {0x80, 0x800, 0x10000};
  REQTRAIL_EXPECT(code_point >= kSmallest[more - 1] && code_point <= 0x10FFFF);
  REQTRAIL_EXPECT(code_point < 0xD800 || code_point > 0xDFFF);
  return code_point;
}

std::uint32_t ReadUnit(const std::string& json, std::size_t& at) {
  const std::string digits = json.substr(at, 4);
  REQTRAIL_EXPECT(digits.size() == 4 && digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos);
  at += 4;
  return static_cast<std::uint32_t>(std::strtoul(digits.c_str(), nullptr, 16));
}

std::uint32_t ReadEscape(const std::string& json, std::size_t& at) {
  const std::string simple = "\"\\/bfnrt";
  const std::string meant = "\"\\/\b\f\n\r\t";
  const char kind = json.at(at++);
  if (kind != 'u') {
    REQTRAIL_EXPECT(simple.find(kind) != std::string::npos);
    return static_cast<unsigned char>(meant.at(simple.find(kind)));
  }
  const std::uint32_t unit = ReadUnit(json, at);
  REQTRAIL_EXPECT(unit < 0xDC00 || unit > 0xDFFF);
  if (unit < 0xD800 || unit > 0xDBFF) return unit;
  REQTRAIL_EXPECT(json.compare(at, 2, "\\u") == 0);
  at += 2;
  const std::uint32_t low = ReadUnit(json, at);
  REQTRAIL_EXPECT(low >= 0xDC00 && low <= 0xDFFF);
  return 0x10000 + ((unit - 0xD800) << 10U) + (low - 0xDC00);
}

// Reads a JSON string and nothing behind it; a finding if it is none, or would end a line.
CodePoints Read(const std::string& json) {
  CodePoints read;
  REQTRAIL_EXPECT(json.size() >= 2 && json.front() == '"' && json.back() == '"');
  std::size_t at = 1;
  while (at < json.size() - 1) {
    if (json[at] == '\\') {
      read.push_back(ReadEscape(json, ++at));
      continue;
    }
    REQTRAIL_EXPECT(static_cast<unsigned char>(json[at]) >= 0x20 && json[at] != '"');
    const std::uint32_t code_point = ReadUtf8(json, at);
    REQTRAIL_EXPECT(code_point != 0x85 && code_point != 0x2028 && code_point != 0x2029 && code_point != 0x7F);
    read.push_back(code_point);
  }
  REQTRAIL_EXPECT(at == json.size() - 1);
  return read;
}

void AppendUtf8(std::string& out, std::uint32_t code_point) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0U | (code_point >> 6U));
    put(0x80U | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    put(0xE0U | (code_point >> 12U));
    put(0x80U | ((code_point >> 6U) & 0x3FU));
    put(0x80U | (code_point & 0x3FU));
  } else {
    put(0xF0U | (code_point >> 18U));
    put(0x80U | ((code_point >> 12U) & 0x3FU));
    put(0x80U | ((code_point >> 6U) & 0x3FU));
    put(0x80U | (code_point & 0x3FU));
  }
}

std::string Written(const std::string& text, JsonCharset charset) {
  TextBuffer out;
  AppendJsonString(out, text, charset);
  return std::string(out.view());
}

void CheckString(const std::string& text) {
  const std::string as_utf8 = Written(text, JsonCharset::kUtf8);
  const std::string as_ascii = Written(text, JsonCharset::kAscii);
  for (const char byte : as_ascii) REQTRAIL_EXPECT(byte >= 0x20 && byte < 0x7F);
  const CodePoints read = Read(as_utf8);
  REQTRAIL_EXPECT(read == Read(as_ascii));
  std::string again;
  bool replaced = false;
  for (const std::uint32_t code_point : read) {
    AppendUtf8(again, code_point);
    replaced = replaced || code_point == 0xFFFD;
  }
  REQTRAIL_EXPECT(replaced || again == text);
}

void CheckNumber(double value) {
  TextBuffer out;
  AppendJsonNumber(out, value);
  const std::string written(out.view());
  if (!std::isfinite(value)) {
    REQTRAIL_EXPECT(written == "null");
    return;
  }
  REQTRAIL_EXPECT(written.find_first_not_of("0123456789.eE+-") == std::string::npos);
  REQTRAIL_EXPECT(std::strtod(written.c_str(), nullptr) == value);
}

}  // namespace
}  // namespace reqtrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  reqtrail::CheckString(std::string(reinterpret_cast<const char*>(data), size));
  double number = 0;
  if (size >= sizeof number) {
    std::memcpy(&number, data, sizeof number);
    reqtrail::CheckNumber(number);
  }
  return 0;
}
