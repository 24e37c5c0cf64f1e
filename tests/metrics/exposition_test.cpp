#include "metrics/exposition.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <regex>
#include <string>

#include "metrics/sample_text.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 2> kLabels = {"method", "handler"};
constexpr std::array<double, 3> kBounds = {0.005, 1, 2.5};
constexpr FamilySpec kRequests = {.name = "requests", .help = "Requests \"served\"\\\nso far", .label_names = kLabels};
constexpr FamilySpec kLatency = {
    .name = "latency_seconds", .help = "Latency", .type = MetricType::kHistogram, .bounds = kBounds};

class ExpositionTest : public testing::Test {
 protected:
  // Without the segment's own health, which every exposition ends with.
  [[nodiscard]] std::string Exposed(ExpositionFormat format) const {
    const std::string text = Expose(*segment_, {.format = format});
    return text.substr(0, text.find("# HELP reqtrail_metrics_"));
  }
  [[nodiscard]] std::string Text() const { return Exposed(ExpositionFormat::kText); }

  // The time of an exemplar is replaced by T.
  [[nodiscard]] std::string OpenMetrics() const {
    static const std::regex time("(# \\{.*\\} [^ ]+) [0-9]+\\.[0-9]{3}\n");
    return std::regex_replace(Exposed(ExpositionFormat::kOpenMetrics), time, "$1 T\n");
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_ = OpenOrFail(OptionsIn(directory_));
};

TEST_F(ExpositionTest, AnEmptySegmentShowsItsOwnHealth) {
  EXPECT_EQ(Expose(*segment_, {.format = ExpositionFormat::kOpenMetrics}),
            "# HELP reqtrail_metrics_segments_set_aside Metrics files that were not usable and were renamed when this "
            "one was "
            "made.\n"
            "# TYPE reqtrail_metrics_segments_set_aside counter\n"
            "reqtrail_metrics_segments_set_aside_total 0\n"
            "# HELP reqtrail_metrics_series_dropped Look-ups of label sets that found no room and were answered by the "
            "__overflow__ series.\n"
            "# TYPE reqtrail_metrics_series_dropped counter\n"
            "reqtrail_metrics_series_dropped_total 0\n"
            "# EOF\n");
  const std::string text = Expose(*segment_, {.format = ExpositionFormat::kText});
  EXPECT_NE(text.find("# TYPE reqtrail_metrics_series_dropped_total counter\n"), std::string::npos);
  EXPECT_EQ(text.find("EOF"), std::string::npos);
}

TEST_F(ExpositionTest, CountersInBothFormats) {
  const Family family = FamilyOrFail(*segment_, kRequests);
  CounterOf(family, {"POST", "/b"}).Inc(0.5);
  CounterOf(family, {"GET", "/a\"\\\n"}).Inc(3, std::string_view("id-1"));
  EXPECT_EQ(Text(),
            "# HELP requests_total Requests \"served\"\\\\\\nso far\n"
            "# TYPE requests_total counter\n"
            "requests_total{method=\"GET\",handler=\"/a\\\"\\\\\\n\"} 3\n"
            "requests_total{method=\"POST\",handler=\"/b\"} 0.5\n");
  EXPECT_EQ(OpenMetrics(),
            "# HELP requests Requests \\\"served\\\"\\\\\\nso far\n"
            "# TYPE requests counter\n"
            "requests_total{method=\"GET\",handler=\"/a\\\"\\\\\\n\"} 3 # {request_id=\"id-1\"} 3 T\n"
            "requests_total{method=\"POST\",handler=\"/b\"} 0.5\n");
}

TEST_F(ExpositionTest, HistogramsInBothFormats) {
  const HistogramHandle histogram = HistogramOf(FamilyOrFail(*segment_, kLatency), {});
  histogram.Observe(0.00390625);
  histogram.Observe(1, std::string_view("id-1"));
  ExemplarLabels labels;
  EXPECT_TRUE(labels.Add("trace_id", "t") && labels.Add("user", "\""));
  histogram.Observe(4.25, labels);
  EXPECT_EQ(Text(),
            "# HELP latency_seconds Latency\n"
            "# TYPE latency_seconds histogram\n"
            "latency_seconds_bucket{le=\"0.005\"} 1\n"
            "latency_seconds_bucket{le=\"1.0\"} 2\n"
            "latency_seconds_bucket{le=\"2.5\"} 2\n"
            "latency_seconds_bucket{le=\"+Inf\"} 3\n"
            "latency_seconds_count 3\n"
            "latency_seconds_sum 5.25390625\n");
  EXPECT_EQ(OpenMetrics(),
            "# HELP latency_seconds Latency\n"
            "# TYPE latency_seconds histogram\n"
            "latency_seconds_bucket{le=\"0.005\"} 1\n"
            "latency_seconds_bucket{le=\"1.0\"} 2 # {request_id=\"id-1\"} 1 T\n"
            "latency_seconds_bucket{le=\"2.5\"} 2\n"
            "latency_seconds_bucket{le=\"+Inf\"} 3 # {trace_id=\"t\",user=\"\\\"\"} 4.25 T\n"
            "latency_seconds_count 3\n"
            "latency_seconds_sum 5.25390625\n");
}

TEST_F(ExpositionTest, AHistogramOfNegativeBoundsHasNoSum) {
  constexpr std::array<double, 2> kNegative = {-1, 1};
  FamilyOrFail(*segment_, {.name = "balance", .type = MetricType::kHistogram, .bounds = kNegative});
  EXPECT_EQ(Text().find("balance_sum"), std::string::npos);
  EXPECT_NE(Text().find("balance_count 0\n"), std::string::npos);
  EXPECT_EQ(OpenMetrics().find("balance_count"), std::string::npos) << "OpenMetrics wants both or none";
  EXPECT_NE(Text().find("balance_bucket{le=\"-1.0\"} 0\n"), std::string::npos);
}

TEST_F(ExpositionTest, ASumThatOpenMetricsForbidsIsLeftOutThere) {
  const Family family = FamilyOrFail(*segment_, kLatency);
  HistogramOf(family, {}).Observe(-1);
  EXPECT_NE(Text().find("latency_seconds_sum -1\n"), std::string::npos);
  EXPECT_EQ(OpenMetrics().find("latency_seconds_sum"), std::string::npos);
  HistogramOf(family, {}).Observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_NE(Text().find("latency_seconds_sum NaN\n"), std::string::npos);
  EXPECT_NE(OpenMetrics().find("latency_seconds_bucket{le=\"+Inf\"} 2\n"), std::string::npos);
  EXPECT_EQ(OpenMetrics().find("latency_seconds_sum"), std::string::npos);
}

TEST_F(ExpositionTest, AFamilyWithoutLabelsIsThereAt0AndOneWithLabelsHasNoSeries) {
  FamilyOrFail(*segment_, {.name = "plain", .help = "P"});
  FamilyOrFail(*segment_, {.name = "labelled", .help = "L", .label_names = kLabels});
  EXPECT_EQ(Text(),
            "# HELP labelled_total L\n# TYPE labelled_total counter\n"
            "# HELP plain_total P\n# TYPE plain_total counter\nplain_total 0\n");
}

TEST_F(ExpositionTest, FamiliesAndSeriesAreInTheSameOrderHoweverTheyWereMade) {
  for (const char* name : {"b", "a", "c"}) {
    const Family family = FamilyOrFail(*segment_, {.name = name, .label_names = kLabels});
    for (const char* method : {"PUT", "GET"}) CounterOf(family, {method, "/"}).Inc();
  }
  const std::string text = Text();
  std::size_t last = 0;
  for (const char* sample :
       {"a_total{method=\"GET\"", "a_total{method=\"PUT\"", "b_total{method=\"GET\"", "c_total{method=\"GET\""}) {
    EXPECT_GT(text.find(sample), last) << sample;
    last = text.find(sample);
  }
}

TEST_F(ExpositionTest, TheOverflowSeriesAppearsWhenItIsUsed) {
  SegmentOptions options = OptionsIn(directory_);
  options.service = "capped";
  options.max_series = 1;
  segment_ = OpenOrFail(options);
  const Family family = FamilyOrFail(*segment_, {.name = "hits", .label_names = kLabels});
  CounterOf(family, {"GET", "/"}).Inc();
  EXPECT_EQ(Text().find("__overflow__"), std::string::npos);
  CounterOf(family, {"GET", "/other"}).Inc();
  EXPECT_NE(Text().find("hits_total{method=\"__overflow__\",handler=\"__overflow__\"} 1\n"), std::string::npos);
  EXPECT_NE(Expose(*segment_, {.format = ExpositionFormat::kText}).find("reqtrail_metrics_series_dropped_total 1\n"),
            std::string::npos);
}

TEST(SampleTextTest, NumbersAreShortAndReadBackTheSame) {
  const auto number = [](double value) {
    std::string text;
    AppendNumber(text, value);
    return text;
  };
  EXPECT_EQ(number(1), "1");
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(1e300), "1e+300");
  EXPECT_EQ(std::stod(number(0.1 + 0.2)), 0.1 + 0.2);
  EXPECT_EQ(number(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(number(-std::numeric_limits<double>::infinity()), "-Inf");
}

TEST(SampleTextTest, BoundsLookLikeFloats) {
  const auto bound = [](double value) {
    std::string text;
    AppendBound(text, value);
    return text;
  };
  EXPECT_EQ(bound(1), "1.0");
  EXPECT_EQ(bound(-10), "-10.0");
  EXPECT_EQ(bound(0.005), "0.005");
  EXPECT_EQ(bound(1e30), "1e+30");
  EXPECT_EQ(bound(std::numeric_limits<double>::infinity()), "+Inf");
}

TEST(SampleTextTest, WhatIsNotUtf8IsReplaced) {
  const auto escaped = [](std::string_view text) {
    std::string out;
    AppendEscaped(out, text, true);
    return out;
  };
  EXPECT_EQ(escaped("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(escaped("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(escaped("\xC3"), "\xEF\xBF\xBD");
  EXPECT_EQ(escaped("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "an overlong form";
  EXPECT_EQ(escaped("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD") << "a surrogate";
}

}  // namespace
}  // namespace reqtrail
