#include "pyext/http_metrics.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

class HttpMetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    segment_ = OpenOrFail(OptionsIn(directory_));
    ASSERT_TRUE(segment_);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_;
};

TEST(KnownMethodTest, MethodsOfHttpAreThemselvesAndAllOthersAreOther) {
  EXPECT_STREQ(KnownMethod("GET"), "GET");
  EXPECT_STREQ(KnownMethod("PATCH"), "PATCH");
  EXPECT_STREQ(KnownMethod("get"), "OTHER");
  EXPECT_STREQ(KnownMethod(""), "OTHER");
  EXPECT_STREQ(KnownMethod("BREW"), "OTHER");
  EXPECT_STREQ(KnownMethod("WEBSOCKET"), "OTHER");
}

TEST(KnownMethodTest, OneMethodHasOneAddress) {
  const std::string built = "DELETE";
  EXPECT_EQ(KnownMethod(built), KnownMethod("DELETE"));
}

TEST(StatusTextTest, IsTheNumber) {
  EXPECT_EQ(StatusText(404).view(), "404");
  EXPECT_EQ(StatusText(1011).view(), "1011");
}

TEST(StatusTextTest, GroupedIsItsClass) {
  EXPECT_EQ(StatusText(404, true).view(), "4xx");
  EXPECT_EQ(StatusText(1011, true).view(), "1011");
}

TEST_F(HttpMetricsTest, TheSameLabelsAreTheSameSeries) {
  const Result<HttpMetrics> metrics = HttpMetrics::Open(*segment_, {.errors_namespace = "shop"});
  ASSERT_TRUE(metrics.ok());
  metrics.value().Series("GET", "/a/{b}", 200).Record(0.02, "first");
  metrics.value().Series("GET", "/a/{b}", 200).Record(0.03, "second");
  metrics.value().Series("GET", "/a/{b}", 500).Record(0.5, "third");
  EXPECT_EQ(metrics.value().Series("GET", "/a/{b}", 200).requests.Value(), 2);
  EXPECT_EQ(metrics.value().Series("GET", "/a/{b}", 500).requests.Value(), 1);
  EXPECT_NEAR(metrics.value().Series("GET", "/a/{b}", 200).duration.Sum(), 0.55, 1e-9);
}

TEST_F(HttpMetricsTest, TwoApplicationsOfOneProcessShareTheirFamilies) {
  const Result<HttpMetrics> first = HttpMetrics::Open(*segment_, {.errors_namespace = "shop"});
  const Result<HttpMetrics> second = HttpMetrics::Open(*segment_, {.errors_namespace = "shop"});
  ASSERT_TRUE(first.ok() && second.ok());
  first.value().Series("GET", "/", 200).Record(1, "a");
  EXPECT_EQ(second.value().Series("GET", "/", 200).requests.Value(), 1);
}

TEST_F(HttpMetricsTest, OnlyTheWantedFamiliesAreThereAndTheOthersCountNothing) {
  const Result<HttpMetrics> metrics = HttpMetrics::Open(
      *segment_, {.errors_namespace = "shop", .requests = false, .duration = false, .inprogress = false});
  ASSERT_TRUE(metrics.ok());
  EXPECT_FALSE(metrics.value().HasInProgress());
  const HttpSeries series = metrics.value().Series("GET", "/", 200);
  series.Record(1, "a");
  EXPECT_FALSE(series.requests);
  EXPECT_FALSE(series.duration);
  metrics.value().InProgress("GET", "/").Add(1);
  metrics.value().CountError("/", "500", "KeyError", "a");
  EXPECT_EQ(segment_->series(), 1);
}

TEST_F(HttpMetricsTest, BucketsOfItsOwnAreThoseOfTheHistogram) {
  constexpr std::array<double, 2> kBuckets = {0.1, 1};
  const Result<HttpMetrics> metrics = HttpMetrics::Open(*segment_, {.errors_namespace = "shop", .buckets = kBuckets});
  ASSERT_TRUE(metrics.ok());
  EXPECT_EQ(metrics.value().Series("GET", "/", 200).duration.bounds().size(), 2);
  const Result<HttpMetrics> other = HttpMetrics::Open(*segment_, {.errors_namespace = "shop"});
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().fault, MetricsFault::kConflict);
}

TEST_F(HttpMetricsTest, ANamespaceThatIsNoMetricNameIsRefused) {
  const Result<HttpMetrics> metrics = HttpMetrics::Open(*segment_, {.errors_namespace = "not-a-name"});
  ASSERT_FALSE(metrics.ok());
  EXPECT_EQ(metrics.error().fault, MetricsFault::kInvalid);
  EXPECT_NE(metrics.error().message.find("not-a-name"), std::string::npos);
}

}  // namespace
}  // namespace reqtrail
