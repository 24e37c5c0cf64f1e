#include "core/json_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace reqtrail {
namespace {

std::string Utf8(std::string_view text) {
  std::string out;
  AppendJsonString(out, text, JsonCharset::kUtf8);
  return out;
}

std::string Ascii(std::string_view text) {
  std::string out;
  AppendJsonString(out, text, JsonCharset::kAscii);
  return out;
}

std::string Number(double value) {
  std::string out;
  AppendJsonNumber(out, value);
  return out;
}

TEST(JsonText, KeepsPlainTextAndAppends) {
  std::string out = "x";
  AppendJsonString(out, "GET /a b~", JsonCharset::kUtf8);
  EXPECT_EQ(out, "x\"GET /a b~\"");
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

}  // namespace
}  // namespace reqtrail
