// Random operations on a segment and on a model of it that cannot be wrong: maps in memory.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "metrics/segment.h"
#include "metrics/snapshot.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::size_t kCap = 60;
constexpr std::array<double, 4> kBounds = {-1, 0.25, 1, 100};
using Labels = std::vector<std::string>;

struct Model {
  std::map<std::pair<std::string, Labels>, double> counters;
  std::map<std::pair<std::string, Labels>, std::vector<double>> observed;

  [[nodiscard]] bool HasRoomFor(const std::pair<std::string, Labels>& key) const {
    return key.second.empty() || counters.contains(key) || observed.contains(key) || Labelled() < kCap;
  }

 private:
  [[nodiscard]] std::size_t Labelled() const {
    const auto count = [](const auto& map) {
      std::size_t labelled = 0;
      for (const auto& [key, value] : map) labelled += !key.second.empty() && key.second.front() != kOverflowLabelValue;
      return labelled;
    };
    return count(counters) + count(observed);
  }
};

class RandomOperations {
 public:
  RandomOperations(Segment& segment, unsigned seed) : segment_(segment), random_(seed) {}

  void Step() {
    const std::size_t label_count = random_() % 3;
    const bool is_counter = random_() % 2 == 0;
    const std::string name = (is_counter ? "c" : "h") + std::to_string(label_count) + std::to_string(random_() % 2);
    Labels values;
    for (std::size_t i = 0; i < label_count; ++i) values.push_back(RandomValue());
    std::pair<std::string, Labels> key = {name, values};
    if (!model_.HasRoomFor(key)) key.second = Labels(label_count, std::string(kOverflowLabelValue));

    const std::vector<std::string_view> names(kNames.data(), kNames.data() + label_count);
    const std::vector<std::string_view> views(values.begin(), values.end());
    const double amount = static_cast<double>(random_() % 4001) / 8;  // exact in a double, fraction or not
    if (is_counter) {
      EXPECT_TRUE(FamilyOrFail(segment_, {.name = name, .label_names = names}).Counter(views).Inc(amount));
      model_.counters[key] += amount;
    } else {
      const FamilySpec spec = {.name = name, .type = MetricType::kHistogram, .label_names = names, .bounds = kBounds};
      FamilyOrFail(segment_, spec).Histogram(views).Observe(amount - 2);
      model_.observed[key].push_back(amount - 2);
    }
  }

  void Compare() const {
    std::size_t seen = 0;
    for (const FamilyView& family : TakeSnapshot(segment_)) {
      for (const SeriesView& series : family.series) {
        const std::pair<std::string, Labels> key = {std::string(family.name),
                                                    Labels(series.label_values.begin(), series.label_values.end())};
        if (family.type == MetricType::kCounter) {
          ASSERT_TRUE(model_.counters.contains(key) || series.counter.Value() == 0) << family.name;
          if (model_.counters.contains(key)) {
            EXPECT_EQ(series.counter.Value(), model_.counters.at(key));
          }
        } else {
          ASSERT_TRUE(model_.observed.contains(key)) << family.name;
          CompareHistogram(series.histogram, model_.observed.at(key));
        }
        ++seen;
      }
    }
    EXPECT_GE(seen + OverflowsOfNothing(), model_.counters.size() + model_.observed.size());
  }

 private:
  static constexpr std::array<std::string_view, 2> kNames = {"first", "second"};

  std::string RandomValue() {
    std::string value(random_() % 4, 'a');
    for (char& c : value) c = static_cast<char>(random_() % 3);  // NUL among them
    return value;
  }

  // An overflow series of amounts that are all 0 is in the model, but not shown.
  [[nodiscard]] std::size_t OverflowsOfNothing() const {
    std::size_t count = 0;
    for (const auto& [key, value] : model_.counters) count += value == 0;
    return count;
  }

  static void CompareHistogram(const HistogramHandle& histogram, const std::vector<double>& observed) {
    std::array<std::uint64_t, kBounds.size() + 1> buckets{};
    double sum = 0;
    for (const double value : observed) {
      std::size_t bucket = 0;
      while (bucket < kBounds.size() && value > kBounds[bucket]) ++bucket;
      ++buckets[bucket];
      sum += value;
    }
    for (std::size_t i = 0; i < buckets.size(); ++i) EXPECT_EQ(histogram.BucketCount(i), buckets[i]);
    EXPECT_EQ(histogram.Sum(), sum);
  }

  Segment& segment_;
  std::mt19937 random_;
  Model model_;
};

class ModelTest : public testing::TestWithParam<unsigned> {};

TEST_P(ModelTest, TheSegmentCountsAsTheModelDoes) {
  const TemporaryDirectory directory;
  SegmentOptions options = OptionsIn(directory);
  options.max_series = kCap;
  const std::unique_ptr<Segment> segment = OpenOrFail(options);
  RandomOperations operations(*segment, GetParam());
  for (int round = 0; round < 20; ++round) {
    for (int step = 0; step < 100; ++step) operations.Step();
    operations.Compare();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range(1U, 13U));

}  // namespace
}  // namespace reqtrail
