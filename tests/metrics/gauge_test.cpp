#include "metrics/gauge.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "metrics/exposition.h"
#include "tests/metrics/child_process.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 1> kLabels = {"handler"};

// A child that has run `body` when this is constructed, and lives on until it is killed.
template <typename Body>
ChildProcess LivingChild(Body body) {
  std::array<int, 2> ready{};
  EXPECT_EQ(::pipe(ready.data()), 0);
  ChildProcess child([&] {
    body();
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  });
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

class GaugeTest : public testing::Test {
 protected:
  Family FamilyOf(GaugeMode mode) {
    return FamilyOrFail(*segment_, {.name = "jobs", .type = MetricType::kGauge, .gauge_mode = mode});
  }
  static std::vector<double> Values(const GaugeHandle& gauge) {
    Liveness liveness;
    std::vector<double> values;
    for (const auto& [pid, value] : gauge.Samples(liveness)) values.push_back(value);
    return values;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_ = OpenOrFail(OptionsIn(directory_));
};

TEST_F(GaugeTest, PartsThatProcessesMakeAtTheSameMomentAreApart) {
  constexpr int kGauges = 800;
  constexpr int kProcesses = 4;
  const Family family = FamilyOrFail(*segment_, {.name = "jobs", .type = MetricType::kGauge, .label_names = kLabels});
  std::vector<GaugeHandle> gauges;
  gauges.reserve(kGauges);
  for (int i = 0; i < kGauges; ++i) {
    const std::string number = std::to_string(i);
    gauges.push_back(family.Gauge(std::array<std::string_view, 1>{number}));
  }
  const CounterHandle done = CounterOf(FamilyOrFail(*segment_, {.name = "done"}), {});
  std::vector<ChildProcess> children;
  children.reserve(kProcesses);
  for (int process = 1; process <= kProcesses; ++process) {
    children.emplace_back([&] {
      for (const GaugeHandle& gauge : gauges) gauge.Set(process);
      done.Inc();
      for (;;) ::pause();
    });
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (done.Value() < kProcesses && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  for (const GaugeHandle& gauge : gauges) EXPECT_EQ(Values(gauge), (std::vector<double>{1 + 2 + 3 + 4}));
  EXPECT_EQ(segment_->gauge_parts(), static_cast<std::uint64_t>(kGauges) * kProcesses);
}

TEST_F(GaugeTest, IsSetAndChangedByAnyAmount) {
  const GaugeHandle gauge = FamilyOf(GaugeMode::kLiveSum).Gauge({});
  EXPECT_EQ(Values(gauge), (std::vector<double>{0}));
  gauge.Set(2.5);
  gauge.Add(1);
  gauge.Add(-5);
  EXPECT_EQ(Values(gauge), (std::vector<double>{-1.5}));
}

struct ModeCase {
  GaugeMode mode;
  std::vector<double> with_child;     // this process has set 3, the child 1, in this order
  std::vector<double> without_child;  // the child was killed
  std::vector<double> taken_over;     // a third process, which set nothing, looked for its part
};

class GaugeModeTest : public GaugeTest, public testing::WithParamInterface<ModeCase> {};

TEST_P(GaugeModeTest, ShowsLivingAndEndedProcesses) {
  const ModeCase& expected = GetParam();
  const GaugeHandle gauge = FamilyOf(expected.mode).Gauge({});
  gauge.Set(3);
  ChildProcess child = LivingChild([&] { gauge.Set(1); });
  std::vector<double> seen = Values(gauge);
  std::ranges::sort(seen);
  EXPECT_EQ(seen, expected.with_child);
  child.Kill();
  seen = Values(gauge);
  std::ranges::sort(seen);
  EXPECT_EQ(seen, expected.without_child);
  const ChildProcess third = LivingChild([&] { (void)gauge.Own(); });
  seen = Values(gauge);
  std::ranges::sort(seen);
  EXPECT_EQ(seen, expected.taken_over);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, GaugeModeTest,
    testing::Values(ModeCase{GaugeMode::kLiveSum, {4}, {3}, {3}}, ModeCase{GaugeMode::kSum, {4}, {4}, {4}},
                    ModeCase{GaugeMode::kAll, {1, 3}, {1, 3}, {1, 3}}, ModeCase{GaugeMode::kLiveAll, {1, 3}, {3}, {3}},
                    ModeCase{GaugeMode::kMin, {1}, {1}, {1}}, ModeCase{GaugeMode::kLiveMin, {1}, {3}, {3}},
                    ModeCase{GaugeMode::kMax, {3}, {3}, {3}}, ModeCase{GaugeMode::kLiveMax, {3}, {3}, {3}},
                    ModeCase{GaugeMode::kMostRecent, {1}, {1}, {1}},
                    ModeCase{GaugeMode::kLiveMostRecent, {1}, {3}, {3}}, ModeCase{GaugeMode::kShared, {1}, {1}, {1}}),
    [](const auto& param) { return std::string(kGaugeModeNames.at(static_cast<std::size_t>(param.param.mode))); });

TEST_F(GaugeTest, AChildDoesNotHaveWhatItsParentHadInProgress) {
  const GaugeHandle gauge = FamilyOf(GaugeMode::kLiveSum).Gauge({});
  gauge.Add(7);
  const ChildProcess child = LivingChild([&] {
    if (gauge.Own() != 0) ::_exit(1);
    gauge.Add(1);
  });
  EXPECT_EQ(Values(gauge), (std::vector<double>{8}));
  EXPECT_EQ(gauge.Own(), 7);
}

TEST_F(GaugeTest, AThousandProcessesThatComeAndGoUseOnePart) {
  const GaugeHandle gauge = FamilyOf(GaugeMode::kLiveSum).Gauge({});
  const std::uint64_t processes = 1000;
  for (std::uint64_t i = 0; i < processes; ++i) {
    ChildProcess child([&] { gauge.Add(1); });
    ASSERT_EQ(child.Wait(), 0);
  }
  EXPECT_EQ(Values(gauge), (std::vector<double>{0}));
  EXPECT_EQ(segment_->gauge_parts(), 1U);
}

TEST_F(GaugeTest, ASumIsExactAfterPartsOfKilledProcessesWereTakenOver) {
  const GaugeHandle gauge = FamilyOf(GaugeMode::kSum).Gauge({});
  constexpr int kProcesses = 50;
  for (int i = 0; i < kProcesses; ++i) {
    ChildProcess child = LivingChild([&] {
      gauge.Set(100);
      gauge.Set(2);
    });
    child.Kill();
  }
  EXPECT_EQ(Values(gauge), (std::vector<double>{2 * kProcesses}));
}

TEST_F(GaugeTest, ModeAllHasASampleForEachPid) {
  const std::array<std::string_view, 1> values = {"/a"};
  const Family family = FamilyOrFail(
      *segment_,
      {.name = "jobs", .type = MetricType::kGauge, .label_names = kLabels, .gauge_mode = GaugeMode::kLiveAll});
  family.Gauge(values).Set(2);
  const std::string text = Expose(*segment_, {.format = ExpositionFormat::kText});
  EXPECT_NE(text.find("# TYPE jobs gauge\njobs{handler=\"/a\",pid=\"" + std::to_string(::getpid()) + "\"} 2\n"),
            std::string::npos)
      << text;
}

TEST_F(GaugeTest, ThreadsOfAProcessShareOnePart) {
  const Family family = FamilyOf(GaugeMode::kLiveSum);
  constexpr int kThreads = 4;
  constexpr int kTimes = 1000;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const GaugeHandle gauge = family.Gauge({});
      for (int time = 0; time < kTimes; ++time) gauge.Add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Values(family.Gauge({})), (std::vector<double>{kThreads * kTimes}));
  EXPECT_EQ(segment_->gauge_parts(), 1U);
}

TEST_F(GaugeTest, AnotherModeIsAnotherKindOfGauge) {
  (void)FamilyOf(GaugeMode::kMin);
  EXPECT_EQ(segment_->GetOrCreateFamily({.name = "jobs", .type = MetricType::kGauge}).error().fault,
            MetricsFault::kConflict);
}

}  // namespace
}  // namespace reqtrail
