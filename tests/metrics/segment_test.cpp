#include "metrics/segment.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "metrics/exemplar.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 2> kLabels = {"method", "handler"};
constexpr std::array<double, 3> kBounds = {0.1, 1, 10};
constexpr FamilySpec kRequests = {.name = "requests", .help = "Requests", .label_names = kLabels};
constexpr FamilySpec kLatency = {.name = "latency_seconds",
                                 .help = "Latency",
                                 .type = MetricType::kHistogram,
                                 .label_names = kLabels,
                                 .bounds = kBounds};

class SegmentTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_ = OpenOrFail(OptionsIn(directory_));
};

TEST_F(SegmentTest, TheSameLabelsAreTheSameSeries) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  EXPECT_TRUE(CounterOf(family, {"GET", "/"}).Inc());
  EXPECT_TRUE(CounterOf(family, {"GET", "/"}).Inc(2.5));
  EXPECT_TRUE(CounterOf(family, {"POST", "/"}).Inc());
  EXPECT_EQ(CounterOf(family, {"GET", "/"}).Value(), 3.5);
  EXPECT_EQ(CounterOf(family, {"POST", "/"}).Value(), 1);
  EXPECT_EQ(segment_->series(), 2U);
}

TEST_F(SegmentTest, WhereOneLabelValueEndsMatters) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  EXPECT_TRUE(CounterOf(family, {"ab", "c"}).Inc());
  EXPECT_EQ(CounterOf(family, {"a", "bc"}).Value(), 0);
  EXPECT_EQ(CounterOf(family, {"", "abc"}).Value(), 0);
}

TEST_F(SegmentTest, ANegativeAmountAndNaNChangeNothing) {
  const CounterHandle counter = CounterOf(FamilyOrFail(*segment_, kRequests), {"GET", "/"});
  EXPECT_FALSE(counter.Inc(-1));
  EXPECT_FALSE(counter.Inc(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_EQ(counter.Value(), 0);
}

TEST_F(SegmentTest, AHistogramCountsEachValueInTheFirstBucketThatHoldsIt) {
  const HistogramHandle histogram = HistogramOf(FamilyOrFail(*segment_, kLatency), {"GET", "/"});
  for (const double value : {0.05, 0.1, 0.5, 10.0, 11.0}) histogram.Observe(value);
  EXPECT_EQ(histogram.BucketCount(0), 2U);
  EXPECT_EQ(histogram.BucketCount(1), 1U);
  EXPECT_EQ(histogram.BucketCount(2), 1U);
  EXPECT_EQ(histogram.BucketCount(3), 1U);
  EXPECT_DOUBLE_EQ(histogram.Sum(), 21.65);
}

TEST_F(SegmentTest, AnObservationLeavesItsRequestIdInItsBucket) {
  const HistogramHandle histogram = HistogramOf(FamilyOrFail(*segment_, kLatency), {"GET", "/"});
  histogram.Observe(0.5, std::string_view("id-1"));
  EXPECT_FALSE(LoadExemplar(histogram.BucketExemplar(0)));
  const auto exemplar = LoadExemplar(histogram.BucketExemplar(1));
  ASSERT_TRUE(exemplar);
  EXPECT_EQ(exemplar->value, 0.5);
  EXPECT_EQ(exemplar->labels.at(0).second, "id-1");
}

TEST_F(SegmentTest, ASecondProcessFindsTheSameFamilyAndSeries) {
  const std::unique_ptr<Segment> other = OpenOrFail(OptionsIn(directory_));
  EXPECT_TRUE(CounterOf(FamilyOrFail(*segment_, kRequests), {"GET", "/"}).Inc(2));
  EXPECT_TRUE(CounterOf(FamilyOrFail(*other, kRequests), {"GET", "/"}).Inc(3));
  EXPECT_EQ(CounterOf(FamilyOrFail(*segment_, kRequests), {"GET", "/"}).Value(), 5);
}

TEST_F(SegmentTest, OverTheCapEverythingGoesToOneOverflowSeries) {
  SegmentOptions options = OptionsIn(directory_);
  options.service = "capped";
  options.max_series = 10;
  const std::unique_ptr<Segment> capped = OpenOrFail(options);
  const Family family = FamilyOrFail(*capped, kRequests);
  for (int i = 0; i < 100; ++i) {
    const std::string path = "/" + std::to_string(i);
    const CounterHandle counter = CounterOf(family, {"GET", path});
    EXPECT_EQ(family.IsOverflow(counter), i >= 10) << i;
    EXPECT_TRUE(counter.Inc());
  }
  EXPECT_EQ(capped->series(), 10U);
  EXPECT_EQ(capped->series_dropped(), 90U);
  EXPECT_EQ(CounterOf(family, {"GET", "/no room"}).Value(), 90);
  EXPECT_EQ(CounterOf(family, {"GET", "/3"}).Value(), 1) << "a series that had room keeps it";
}

}  // namespace
}  // namespace reqtrail
