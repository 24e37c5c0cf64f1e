#include "core/json_text.h"

#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>

namespace reqtrail {
namespace {

std::string Utf8(std::string_view text) {
  TextBuffer out;
  AppendJsonString(out, text, JsonCharset::kUtf8);
  return std::string(out.view());
}

std::string Ascii(std::string_view text) {
  TextBuffer out;
  AppendJsonString(out, text, JsonCharset::kAscii);
  return std::string(out.view());
}

std::string Number(double value) {
  TextBuffer out;
  AppendJsonNumber(out, value);
  return std::string(out.view());
}

TEST(JsonText, KeepsPlainTextAndAppends) {
  TextBuffer out;
  out.Append("x");
  AppendJsonString(out, "GET /a b~", JsonCharset::kUtf8);
  EXPECT_EQ(out.view(), "x\"GET /a b~\"");
  EXPECT_EQ(Utf8(""), "\"\"");
}

TEST(JsonText, EscapesWhatEndsAStringOrALine) {
  EXPECT_EQ(Utf8("a\"b\\c\nd\re\tf"), R"("a\"b\\c\nd\re\tf")");
  EXPECT_EQ(Utf8(std::string_view("\0\x1b\x7f", 3)), R"("\u0000\u001b\u007f")");
  EXPECT_EQ(Utf8("\u0085|\u2028|\u2029"), R"("\u0085|\u2028|\u2029")");
}

TEST(JsonText, KeepsUtf8) { EXPECT_EQ(Utf8("é€😀"), "\"é€😀\""); }

TEST(JsonText, EscapesAllBeyondAsciiOnRequest) { EXPECT_EQ(Ascii("é€😀"), R"("\u00e9\u20ac\ud83d\ude00")"); }

TEST(JsonText, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(Utf8("\xed\xa0\x80x"), R"("\ufffdx")");    // a lone surrogate
  EXPECT_EQ(Utf8("\xff\xc3"), R"("\ufffd\ufffd")");    // no lead byte; cut off at the end
  EXPECT_EQ(Utf8("\xc3(\x80"), R"("\ufffd(\ufffd")");  // no continuation; nothing but one
  EXPECT_EQ(Utf8("\xc0\xaf"), R"("\ufffd")");          // an overlong "/"
  EXPECT_EQ(Utf8("\xf5\x80\x80\x80"), R"("\ufffd")");  // beyond U+10FFFF
  EXPECT_EQ(Ascii("\xef\xbf\xbd"), R"("\ufffd")");     // the replacement character itself
}

TEST(JsonText, NumbersReadBackTheSame) {
  EXPECT_EQ(Number(0.1), "0.1");
  EXPECT_EQ(Number(-2.0), "-2");
  EXPECT_EQ(Number(1e300), "1e+300");
  EXPECT_EQ(Number(std::nan("")), "null");
  EXPECT_EQ(Number(-std::numeric_limits<double>::infinity()), "null");
}

std::string Shortest(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

TEST(JsonText, DurationsAreWrittenAsAnyOtherNumber) {
  constexpr double kNanosPerSecond = 1e9;
  std::mt19937_64 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a failure must be repeatable
  for (std::uint64_t scale = 10; scale <= 1'000'000'000'000'000; scale *= 10) {
    for (int i = 0; i < 2000; ++i) {
      const double seconds = static_cast<double>(random() % scale) / kNanosPerSecond;
      for (const double value : {seconds, std::nextafter(seconds, 1), seconds * 3, -seconds, std::round(seconds)}) {
        ASSERT_EQ(Number(value), Shortest(value));
      }
    }
    for (std::uint64_t digit = 1; digit < 10; ++digit) {
      const double round = static_cast<double>(digit * scale) / kNanosPerSecond;
      ASSERT_EQ(Number(round), Shortest(round));
    }
  }
}

TEST(JsonText, FindsTheByteToEscapeWhereverItIs) {
  for (std::size_t size = 1; size <= 40; ++size) {
    const std::string plain(size, 'a');
    EXPECT_EQ(Utf8(plain), '"' + plain + '"');
    for (std::size_t at = 0; at < size; ++at) {
      for (const auto& [byte, escaped] : {std::pair{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\x7f', "\\u007f"}}) {
        std::string text = plain;
        text[at] = byte;
        EXPECT_EQ(Utf8(text), '"' + plain.substr(0, at) + escaped + plain.substr(at + 1) + '"');
      }
    }
  }
}

}  // namespace
}  // namespace reqtrail
