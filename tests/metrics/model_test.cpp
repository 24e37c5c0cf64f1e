// Random operations on a segment and on a model of it that cannot be wrong: a map in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "metrics/segment.h"
#include "metrics/snapshot.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::size_t kCap = 60;
constexpr std::uint64_t kOverflowLife = 1;  // of all overflow series: they cannot be removed
constexpr std::array<double, 4> kBounds = {-1, 0.25, 1, 100};
constexpr std::array<std::string_view, 2> kLabelNames = {"first", "second"};
using Labels = std::vector<std::string>;
using Key = std::pair<std::string, Labels>;
using Wanted = std::vector<std::optional<std::string_view>>;

struct ModelSeries {
  std::uint64_t life = 0;  // no two series have the same one
  double value = 0;        // of a counter or a gauge
  bool is_set = false;     // of a gauge
  std::vector<double> observed;

  [[nodiscard]] bool CountedNothing() const { return value == 0 && !is_set && observed.empty(); }
};

std::vector<std::string_view> ViewsOf(const Labels& labels) { return {labels.begin(), labels.end()}; }

bool IsOverflow(const Key& key) { return !key.second.empty() && key.second.front() == kOverflowLabelValue; }

class Model {
 public:
  // The series that counts what these labels count, which is made if it is new and there is room.
  Key KeyFor(Key key) {
    if (!key.second.empty() && !series_.contains(key) && Labelled() >= kCap) {
      key.second = Labels(key.second.size(), std::string(kOverflowLabelValue));
    }
    const auto [found, is_new] = series_.try_emplace(key);
    if (is_new) found->second.life = IsOverflow(key) ? kOverflowLife : ++last_life_;
    return key;
  }

  ModelSeries& At(const Key& key) { return series_.at(key); }

  // The same series as when it had this life; nullptr: it was removed.
  ModelSeries* Find(const Key& key, std::uint64_t life) {
    const auto found = series_.find(key);
    return found == series_.end() || found->second.life != life ? nullptr : &found->second;
  }

  std::uint64_t Remove(const std::string& family, const Wanted& wanted) {
    std::uint64_t removed = 0;
    const bool is_all = std::ranges::none_of(wanted, [](const auto& value) { return value.has_value(); });
    for (auto it = series_.begin(); it != series_.end();) {
      const auto& [name, labels] = it->first;
      const bool is_meant = name == family && !IsOverflow(it->first) &&
                            std::ranges::equal(wanted, std::span(labels).first(wanted.size()),
                                               [](const auto& want, const auto& is) { return !want || *want == is; });
      removed += is_meant;
      if (is_all && name == family && IsOverflow(it->first)) {
        it->second = ModelSeries();  // it begins anew, but stays the same
        it->second.life = kOverflowLife;
      }
      it = is_meant ? series_.erase(it) : std::next(it);
    }
    return removed;
  }

  [[nodiscard]] std::size_t Labelled() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        series_, [](const auto& entry) { return !entry.first.second.empty() && !IsOverflow(entry.first); }));
  }

  [[nodiscard]] const std::map<Key, ModelSeries>& series() const { return series_; }

 private:
  std::map<Key, ModelSeries> series_;
  std::uint64_t last_life_ = kOverflowLife;
};

class RandomOperations {
 public:
  RandomOperations(Segment& segment, unsigned seed) : segment_(segment), random_(seed) {}

  void Step() {
    const auto what = random_() % 20;
    if (what == 0 || (what < 4 && is_shrinking_)) {
      Remove();
    } else if (what < 8 && !held_.empty()) {
      CountThroughHeld();
    } else {
      Count();
    }
    if (random_() % 200 == 0) is_shrinking_ = !is_shrinking_;
  }

  void Compare() {
    std::set<Key> shown;
    for (const FamilyView& family : TakeSnapshot(segment_)) {
      for (const SeriesView& series : family.series) {
        const Key key = {std::string(family.name), Labels(series.label_values.begin(), series.label_values.end())};
        ASSERT_TRUE(model_.series().contains(key)) << family.name;
        CompareSeries(series, model_.series().at(key));
        shown.insert(key);
      }
    }
    for (const auto& [key, series] : model_.series()) {
      EXPECT_EQ(shown.contains(key), !IsOverflow(key) || !series.CountedNothing()) << key.first;
    }
    EXPECT_EQ(segment_.series(), model_.Labelled());
  }

  [[nodiscard]] std::uint64_t removed() const { return removed_; }

 private:
  struct Held {
    Key key;
    std::uint64_t life = 0;
    CounterHandle counter;
    GaugeHandle gauge;
    HistogramHandle histogram;
  };

  std::string RandomValue() {
    std::string value(random_() % 4, 'a');
    for (char& c : value) c = static_cast<char>(random_() % 3);  // NUL among them
    return value;
  }

  Labels RandomLabels(std::size_t count) {
    Labels values(count);
    for (std::string& value : values) value = RandomValue();
    return values;
  }

  // One of two families for each type and number of labels: its name says which.
  std::string RandomName(std::size_t label_count) {
    return std::string(1, "cgh"[random_() % 3]) + std::to_string(label_count) + std::to_string(random_() % 2);
  }

  Family FamilyNamed(const std::string& name) {
    const std::span<const std::string_view> labels(kLabelNames.data(), static_cast<std::size_t>(name[1] - '0'));
    if (name[0] == 'c') return FamilyOrFail(segment_, {.name = name, .label_names = labels});
    if (name[0] == 'g')
      return FamilyOrFail(segment_, {.name = name, .type = MetricType::kGauge, .label_names = labels});
    return FamilyOrFail(segment_,
                        {.name = name, .type = MetricType::kHistogram, .label_names = labels, .bounds = kBounds});
  }

  void Count() {
    const std::size_t label_count = random_() % 3;
    const std::string name = RandomName(label_count);
    const Labels values = RandomLabels(label_count);
    const Family family = FamilyNamed(name);
    const auto views = ViewsOf(values);
    const Key key = model_.KeyFor({name, values});
    Held handle{.key = key,
                .life = model_.At(key).life,
                .counter = family.Counter(views),
                .gauge = family.Gauge(views),
                .histogram = family.Histogram(views)};
    CountThrough(handle);
    if (held_.size() < 50) {
      held_.push_back(std::move(handle));
    } else {
      held_[random_() % held_.size()] = std::move(handle);
    }
  }

  void CountThroughHeld() { CountThrough(held_[random_() % held_.size()]); }

  void CountThrough(const Held& handle) {
    ModelSeries ignored;
    ModelSeries* found = model_.Find(handle.key, handle.life);
    ModelSeries& series = found == nullptr ? ignored : *found;
    const double amount = static_cast<double>(random_() % 4001) / 8;  // exact in a double, fraction or not
    const bool is_set = random_() % 4 == 0;
    switch (handle.key.first[0]) {
      case 'c':
        EXPECT_TRUE(handle.counter.Inc(amount));
        EXPECT_EQ(handle.counter.IsCurrent(), found != nullptr);
        series.value += amount;
        break;
      case 'g':
        if (is_set) {
          handle.gauge.Set(amount);
          series.value = amount;
        } else {
          handle.gauge.Add(amount - 250);
          series.value += amount - 250;
        }
        EXPECT_EQ(handle.gauge.IsCurrent(), found != nullptr);
        series.is_set = true;
        break;
      default:
        handle.histogram.Observe(amount - 2);
        EXPECT_EQ(handle.histogram.IsCurrent(), found != nullptr);
        series.observed.push_back(amount - 2);
    }
  }

  // One series, those with one label, or all of a family.
  void Remove() {
    const std::size_t label_count = 1 + (random_() % 2);
    const std::string name = RandomName(label_count);
    const Labels values = RandomLabels(label_count);
    Wanted wanted(values.begin(), values.end());
    if (random_() % 3 == 0) wanted.resize(random_() % (label_count + 1));
    for (auto& value : wanted) {
      if (random_() % 3 == 0) value.reset();
    }
    const Result<std::uint64_t> removed = FamilyNamed(name).Remove(wanted);
    ASSERT_TRUE(removed.ok());
    EXPECT_EQ(removed.value(), model_.Remove(name, wanted));
    removed_ += removed.value();
  }

  static void CompareSeries(const SeriesView& series, const ModelSeries& model) {
    if (series.counter) {
      EXPECT_EQ(series.counter.Value(), model.value);
    } else if (series.gauge) {
      EXPECT_EQ(series.gauge.Own(), model.value);
    }
    if (!series.histogram) return;
    std::array<std::uint64_t, kBounds.size() + 1> buckets{};
    double sum = 0;
    for (const double value : model.observed) {
      std::size_t bucket = 0;
      while (bucket < kBounds.size() && value > kBounds[bucket]) ++bucket;
      ++buckets[bucket];
      sum += value;
    }
    for (std::size_t i = 0; i < buckets.size(); ++i) EXPECT_EQ(series.histogram.BucketCount(i), buckets[i]);
    EXPECT_EQ(series.histogram.Sum(), sum);
  }

  Segment& segment_;
  std::mt19937 random_;
  Model model_;
  std::vector<Held> held_;
  bool is_shrinking_ = false;
  std::uint64_t removed_ = 0;
};

class ModelTest : public testing::TestWithParam<unsigned> {};

TEST_P(ModelTest, TheSegmentCountsAsTheModelDoes) {
  const TemporaryDirectory directory;
  SegmentOptions options = OptionsIn(directory);
  options.max_series = kCap;
  if (GetParam() % 2 == 0) options.rest_of_removed = std::chrono::nanoseconds(0);  // storage is used again at once
  const std::unique_ptr<Segment> segment = OpenOrFail(options);
  RandomOperations operations(*segment, GetParam());
  for (int round = 0; round < 30 && !HasFatalFailure(); ++round) {
    for (int step = 0; step < 100; ++step) operations.Step();
    operations.Compare();
  }
  EXPECT_GT(operations.removed(), kCap) << "the cap was reached again and again";
  EXPECT_GT(segment->series_dropped(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range(1U, 13U));

}  // namespace
}  // namespace reqtrail
