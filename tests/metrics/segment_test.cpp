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
  const Exemplar exemplar = LoadExemplar(histogram.BucketExemplar(1)).value_or(Exemplar());
  EXPECT_EQ(exemplar.value, 0.5);
  ASSERT_EQ(exemplar.labels.size(), 1U);
  EXPECT_EQ(exemplar.labels[0].second, "id-1");
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

TEST_F(SegmentTest, ARaisedCapHoldsAHundredThousandLabelSetsAndThenOverflows) {
  constexpr int kLabelSets = 100'000;
  SegmentOptions options = OptionsIn(directory_);
  options.service = "grown";
  options.max_series = kLabelSets;
  options.capacity_bytes = 512UL << 20U;
  const std::unique_ptr<Segment> grown = OpenOrFail(options);
  const Family family = FamilyOrFail(*grown, kRequests);
  for (int i = 0; i < kLabelSets; ++i) CounterOf(family, {"GET", "/" + std::to_string(i)}).Inc(i);
  EXPECT_EQ(grown->series(), static_cast<std::uint64_t>(kLabelSets));
  EXPECT_EQ(grown->series_dropped(), 0U);

  EXPECT_TRUE(family.IsOverflow(CounterOf(family, {"GET", "/one more"})));
  EXPECT_EQ(grown->series_dropped(), 1U);
  for (int i = 0; i < kLabelSets; ++i) {
    ASSERT_EQ(CounterOf(family, {"GET", "/" + std::to_string(i)}).Value(), i);
  }
}

TEST_F(SegmentTest, ACountersNameIsTheSameWithAndWithoutTotal) {
  EXPECT_TRUE(CounterOf(FamilyOrFail(*segment_, {.name = "hits_total"}), {}).Inc());
  EXPECT_EQ(CounterOf(FamilyOrFail(*segment_, {.name = "hits"}), {}).Value(), 1);
}

TEST_F(SegmentTest, AFamilyCannotBecomeAnother) {
  FamilyOrFail(*segment_, kLatency);
  constexpr std::array<std::string_view, 2> kSwapped = {"handler", "method"};
  constexpr std::array<double, 3> kOtherBounds = {0.1, 1, 11};
  FamilySpec other_type = kLatency;
  other_type.type = MetricType::kCounter;
  other_type.bounds = {};
  FamilySpec other_labels = kLatency;
  other_labels.label_names = kSwapped;
  FamilySpec other_bounds = kLatency;
  other_bounds.bounds = kOtherBounds;
  for (const FamilySpec& spec : {other_type, other_labels, other_bounds}) {
    const Result<Family> refused = segment_->GetOrCreateFamily(spec);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().fault, MetricsFault::kConflict);
    EXPECT_NE(refused.error().message.find("latency_seconds"), std::string::npos);
  }
}

TEST_F(SegmentTest, TheFirstHelpTextStays) {
  FamilyOrFail(*segment_, {.name = "hits", .help = "first"});
  EXPECT_TRUE(segment_->GetOrCreateFamily({.name = "hits", .help = "second"}).ok());
}

TEST_F(SegmentTest, DefinitionsThatPrometheusWouldRefuseAreRefused) {
  constexpr std::array<std::string_view, 1> kReserved = {"le"};
  constexpr std::array<double, 2> kUnsorted = {2, 1};
  const std::string huge(65UL * 1024, 'x');
  const std::vector<FamilySpec> refused = {
      {.name = "1st"},
      {.name = ""},
      {.name = "_total"},
      {.name = "reqtrail_metrics_series_dropped_total"},
      {.name = "h", .type = MetricType::kHistogram, .label_names = kReserved, .bounds = kBounds},
      {.name = "h", .type = MetricType::kHistogram, .bounds = kUnsorted},
      {.name = "h", .type = MetricType::kHistogram},
      {.name = "c", .bounds = kBounds},
      {.name = "c", .help = huge},
  };
  for (const FamilySpec& spec : refused) {
    const Result<Family> family = segment_->GetOrCreateFamily(spec);
    ASSERT_FALSE(family.ok()) << spec.name;
    EXPECT_EQ(family.error().fault, MetricsFault::kInvalid) << spec.name;
  }
}

TEST_F(SegmentTest, TheWrongTypeOrNumberOfLabelsGivesAHandleThatCountsNothing) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  EXPECT_FALSE(CounterOf(family, {"GET"}));
  EXPECT_FALSE(HistogramOf(family, {"GET", "/"}));
  EXPECT_FALSE(CounterOf(Family(), {}));
  EXPECT_TRUE(CounterHandle().Inc());
  HistogramHandle().Observe(1, std::string_view("id"));
}

TEST_F(SegmentTest, LabelValuesOfAnyBytesAndEmptyOnesAreKeptApart) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  const std::string with_nul("a\0b", 3);
  EXPECT_TRUE(CounterOf(family, {with_nul, ""}).Inc());
  EXPECT_EQ(CounterOf(family, {"a", ""}).Value(), 0);
  EXPECT_EQ(CounterOf(family, {with_nul, ""}).Value(), 1);
}

TEST_F(SegmentTest, LabelValuesOfMoreThan16KiBAreNotKept) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  const std::string huge(17UL * 1024, 'x');
  EXPECT_TRUE(family.IsOverflow(CounterOf(family, {"GET", huge})));
  EXPECT_EQ(segment_->series_dropped(), 1U);
}

TEST_F(SegmentTest, AFullSegmentKeepsCountingWhatItHas) {
  SegmentOptions options = OptionsIn(directory_);
  options.service = "small";
  options.capacity_bytes = 512UL << 10U;
  const std::unique_ptr<Segment> small = OpenOrFail(options);
  const Family family = FamilyOrFail(*small, kLatency);
  for (int i = 0; i < 999; ++i) {
    const std::string path = "/" + std::to_string(i);
    HistogramOf(family, {"GET", path}).Observe(1);
  }
  EXPECT_GT(small->series_dropped(), 0U);
  EXPECT_LT(small->series(), 999U);
  EXPECT_EQ(small->series() + small->series_dropped(), 999U);
  EXPECT_EQ(HistogramOf(family, {"GET", "/0"}).BucketCount(1), 1U);
  bool was_refused = false;
  for (int i = 0; i < 2000 && !was_refused; ++i) {
    const std::string name = "family" + std::to_string(i);
    const Result<Family> next = small->GetOrCreateFamily({.name = name});
    was_refused = !next.ok();
    if (was_refused) {
      EXPECT_EQ(next.error().fault, MetricsFault::kFull);
    }
  }
  EXPECT_TRUE(was_refused);
}

TEST_F(SegmentTest, WholeAndFractionalAmountsAddUp) {
  const CounterHandle counter = CounterOf(FamilyOrFail(*segment_, {.name = "bytes"}), {});
  for (const double amount : {1.0, 0.25, 4294967295.0, 4294967296.0, 1e15, 0.0}) EXPECT_TRUE(counter.Inc(amount));
  EXPECT_EQ(counter.Value(), 1.25 + 4294967295.0 + 4294967296.0 + 1e15);
}

}  // namespace
}  // namespace reqtrail
