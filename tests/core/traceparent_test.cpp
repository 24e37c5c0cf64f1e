#include "core/traceparent.h"

#include <gtest/gtest.h>

#include <string>

#include "core/request_id.h"

namespace reqtrail {
namespace {

constexpr std::string_view kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// What was parsed; all empty when nothing was.
Traceparent Parsed(std::string_view text) { return ParseTraceparent(text).value_or(Traceparent{}); }

TEST(Traceparent, IsTakenApart) {
  const Traceparent parsed = Parsed(kGood);
  EXPECT_EQ(parsed.version, 0);
  EXPECT_EQ(parsed.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(parsed.parent_id, "b7ad6b7169203331");
  EXPECT_EQ(parsed.flags, 1);
  EXPECT_TRUE(parsed.Sampled());
  EXPECT_TRUE(IsRequestId(parsed.trace_id));
}

TEST(Traceparent, KnowsTheSampledFlagAmongOthers) {
  std::string text(kGood);
  text.replace(53, 2, "fe");
  const Traceparent unsampled = Parsed(text);
  EXPECT_EQ(unsampled.flags, 0xFE);
  EXPECT_FALSE(unsampled.Sampled());
}

TEST(Traceparent, OfAnotherLengthIsNone) {
  for (std::size_t size = 0; size < kGood.size(); ++size) EXPECT_FALSE(ParseTraceparent(kGood.substr(0, size)));
  EXPECT_FALSE(ParseTraceparent(std::string(kGood) + "-"));
  EXPECT_FALSE(ParseTraceparent(std::string(kGood) + "-00"));
  EXPECT_FALSE(ParseTraceparent(" " + std::string(kGood)));
}

TEST(Traceparent, OfALaterVersionMayGoOn) {
  std::string text(kGood);
  text.replace(0, 2, "cc");
  EXPECT_TRUE(ParseTraceparent(text));
  EXPECT_TRUE(ParseTraceparent(text + "-"));
  EXPECT_EQ(Parsed(text + "-what-the-future-holds").trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_FALSE(ParseTraceparent(text + "."));
  EXPECT_FALSE(ParseTraceparent(text + "0"));
}

TEST(Traceparent, OfALaterVersionIsOneOfVersion0ByItsFirstPart) {
  std::string text(kGood);
  text.replace(0, 2, "cc");
  text += "-what-the-future-holds";
  const auto known = AsVersion0(Parsed(text));
  EXPECT_EQ(std::string_view(known.data(), known.size()), kGood);
}

TEST(Traceparent, OfALaterVersionKeepsTheSampledFlagAlone) {
  const auto passed_on = [](std::string_view version, std::string_view flags) {
    std::string text(kGood);
    text.replace(0, 2, version);
    text.replace(53, 2, flags);
    const auto known = AsVersion0(Parsed(text));
    return std::string(known.data(), known.size()).substr(53);
  };
  EXPECT_EQ(passed_on("cc", "ff"), "01");
  EXPECT_EQ(passed_on("cc", "fe"), "00");
  EXPECT_EQ(passed_on("00", "ff"), "ff");
}

TEST(Traceparent, OfVersionFfIsNone) {
  std::string text(kGood);
  text.replace(0, 2, "ff");
  EXPECT_FALSE(ParseTraceparent(text));
  text.replace(0, 2, "fe");
  EXPECT_EQ(Parsed(text).version, 0xFE);
}

TEST(Traceparent, WithAnIdOfZerosIsNone) {
  std::string text(kGood);
  text.replace(3, 32, std::string(32, '0'));
  EXPECT_FALSE(ParseTraceparent(text));
  text[34] = '1';
  EXPECT_TRUE(ParseTraceparent(text));
  text.replace(36, 16, std::string(16, '0'));
  EXPECT_FALSE(ParseTraceparent(text));
}

TEST(Traceparent, WithAnyOtherByteAnywhereIsNone) {
  for (std::size_t at = 0; at < kGood.size(); ++at) {
    const bool separator = at == 2 || at == 35 || at == 52;
    for (int byte = 0; byte < 256; ++byte) {
      std::string text(kGood);
      text[at] = static_cast<char>(byte);
      const bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
      EXPECT_EQ(ParseTraceparent(text).has_value(), separator ? byte == '-' : digit) << at << " " << byte;
    }
  }
}

static_assert(ParseTraceparent(kGood).has_value(), "usable where nothing may run");

}  // namespace
}  // namespace reqtrail
