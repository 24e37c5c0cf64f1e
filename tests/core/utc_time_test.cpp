#include "core/utc_time.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace reqtrail {
namespace {

std::string Text(double seconds) {
  UtcTimeWriter writer;
  TextBuffer out;
  writer.Append(out, seconds);
  return std::string(out.view());
}

TEST(UtcTime, IsRfc3339WithMicroseconds) {
  EXPECT_EQ(Text(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(Text(1795504089.000123), "2026-11-24T07:08:09.000123Z");
  EXPECT_EQ(Text(951782400), "2000-02-29T00:00:00.000000Z");
}

TEST(UtcTime, RoundsIntoTheNextSecond) { EXPECT_EQ(Text(0.9999999), "1970-01-01T00:00:01.000000Z"); }

TEST(UtcTime, FollowsTimeForwardsAndBackwards) {
  UtcTimeWriter writer;
  TextBuffer out;
  for (const double seconds : {1.5, 1.25, 60.0, 1.0}) writer.Append(out, seconds);
  EXPECT_EQ(out.view(),
            "1970-01-01T00:00:01.500000Z1970-01-01T00:00:01.250000Z"
            "1970-01-01T00:01:00.000000Z1970-01-01T00:00:01.000000Z");
}

TEST(UtcTime, ClampsWhatHasNoText) {
  EXPECT_EQ(Text(-1), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(Text(std::nan("")), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(Text(std::numeric_limits<double>::infinity()), "9999-12-31T23:59:59.000000Z");
  EXPECT_EQ(Text(1e300), "9999-12-31T23:59:59.000000Z");
}

}  // namespace
}  // namespace reqtrail
