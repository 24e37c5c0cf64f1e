// Series that are removed: who notices, what comes back, and what is used again.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "metrics/entries.h"
#include "metrics/exposition.h"
#include "metrics/segment.h"
#include "tests/metrics/child_process.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 2> kLabels = {"job", "queue"};
constexpr std::array<double, 2> kBounds = {1, 2};
constexpr FamilySpec kHits = {.name = "hits", .help = "Hits", .label_names = kLabels};
constexpr FamilySpec kWaits = {
    .name = "waits", .type = MetricType::kHistogram, .label_names = kLabels, .bounds = kBounds};
constexpr FamilySpec kDepth = {.name = "depth", .type = MetricType::kGauge, .label_names = kLabels};
constexpr std::optional<std::string_view> kAny;

using Wanted = std::vector<std::optional<std::string_view>>;

std::uint64_t RemovedOf(const Family& family, const Wanted& wanted) {
  const Result<std::uint64_t> removed = family.Remove(wanted);
  EXPECT_TRUE(removed.ok());
  return removed.ok() ? removed.value() : 0;
}

GaugeHandle GaugeOf(const Family& family, const std::vector<std::string_view>& values) { return family.Gauge(values); }

class RemovalTest : public testing::Test {
 protected:
  explicit RemovalTest(std::chrono::nanoseconds rest = std::chrono::nanoseconds(0)) {
    SegmentOptions options = OptionsIn(directory_);
    options.rest_of_removed = rest;
    options.capacity_bytes = 256UL << 20U;  // storage that rests is not used again
    segment_ = OpenOrFail(options);
  }

  [[nodiscard]] bool Shows(const std::string& text) const {
    return Expose(*segment_, {}).find(text) != std::string::npos;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_;
};

TEST_F(RemovalTest, ARemovedSeriesIsGoneAndBeginsAgainFromZero) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  CounterOf(hits, {"a", "x"}).Inc(5, std::string_view("request-1"));
  CounterOf(hits, {"b", "x"}).Inc(7);
  EXPECT_EQ(RemovedOf(hits, {"a", "x"}), 1U);
  EXPECT_EQ(RemovedOf(hits, {"a", "x"}), 0U);
  EXPECT_FALSE(Shows("job=\"a\""));
  EXPECT_TRUE(Shows("hits_total{job=\"b\",queue=\"x\"} 7\n"));
  EXPECT_EQ(segment_->series(), 1U);
  CounterOf(hits, {"a", "x"}).Inc();
  EXPECT_TRUE(Shows("hits_total{job=\"a\",queue=\"x\"} 1\n"));
  EXPECT_FALSE(LoadExemplar(CounterOf(hits, {"a", "x"}).exemplar())) << "nothing of the old series is left";
}

TEST_F(RemovalTest, AHandleNoticesThatItsSeriesIsGone) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  const Family waits = FamilyOrFail(*segment_, kWaits);
  const Family depth = FamilyOrFail(*segment_, kDepth);
  const CounterHandle counter = CounterOf(hits, {"a", "x"});
  const HistogramHandle histogram = HistogramOf(waits, {"a", "x"});
  const GaugeHandle gauge = GaugeOf(depth, {"a", "x"});
  gauge.Set(1);
  EXPECT_TRUE(counter.IsCurrent() && histogram.IsCurrent() && gauge.IsCurrent());
  for (const Family* family : {&hits, &waits, &depth}) EXPECT_EQ(RemovedOf(*family, {"a", "x"}), 1U);
  EXPECT_FALSE(counter.IsCurrent() || histogram.IsCurrent() || gauge.IsCurrent());
  // Other labels get the same storage; the old handles must not count there.
  const CounterHandle other = CounterOf(hits, {"b", "y"});
  counter.Inc(3, std::string_view("request-1"));
  histogram.Observe(1, std::string_view("request-1"));
  gauge.Set(9);
  gauge.Add(9);
  EXPECT_EQ(other.Value(), 0);
  EXPECT_EQ(HistogramOf(waits, {"b", "y"}).Sum(), 0);
  EXPECT_EQ(GaugeOf(depth, {"b", "y"}).Own(), 0);
}

TEST_F(RemovalTest, LabelsThatAreNotNamedMatchAnything) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  for (const char* job : {"a", "b"}) {
    for (const char* queue : {"x", "y"}) CounterOf(hits, {job, queue}).Inc();
  }
  EXPECT_EQ(RemovedOf(hits, {kAny, "y"}), 2U);
  EXPECT_EQ(RemovedOf(hits, {"a"}), 1U);
  EXPECT_TRUE(Shows("hits_total{job=\"b\",queue=\"x\"} 1\n"));
  EXPECT_EQ(segment_->series(), 1U);
}

TEST_F(RemovalTest, ClearingTakesTheOverflowAlong) {
  SegmentOptions options = OptionsIn(directory_);
  options.service = "small";
  options.max_series = 2;
  const std::unique_ptr<Segment> small = OpenOrFail(options);
  const Family hits = FamilyOrFail(*small, kHits);
  const Family depth = FamilyOrFail(*small, kDepth);
  for (const char* job : {"a", "b", "c"}) CounterOf(hits, {job, "x"}).Inc();
  GaugeOf(depth, {"a", "x"}).Set(1);
  const std::string overflowing = Expose(*small, {});
  EXPECT_NE(overflowing.find("hits_total{job=\"__overflow__\",queue=\"__overflow__\"} 1\n"), std::string::npos);
  EXPECT_NE(overflowing.find("depth{job=\"__overflow__\",queue=\"__overflow__\"} 1\n"), std::string::npos);
  EXPECT_EQ(RemovedOf(hits, {}), 2U);
  EXPECT_EQ(RemovedOf(depth, {}), 0U);
  const std::string cleared = Expose(*small, {});
  EXPECT_EQ(cleared.find("hits_total{"), std::string::npos);
  EXPECT_EQ(cleared.find("depth{"), std::string::npos);
  CounterOf(hits, {"c", "x"}).Inc();
  EXPECT_NE(Expose(*small, {}).find("hits_total{job=\"c\",queue=\"x\"} 1\n"), std::string::npos)
      << "there is room again";
}

TEST_F(RemovalTest, LabelSetsThatComeAndGoTakeNoMoreStorageThanOne) {
  const Family waits = FamilyOrFail(*segment_, kWaits);
  const Family depth = FamilyOrFail(*segment_, kDepth);
  for (int i = 0; i < 200'000; ++i) {
    const std::string job = "job-" + std::to_string(i);
    HistogramOf(waits, {job, "x"}).Observe(1);
    GaugeOf(depth, {job, "x"}).Set(1);
    ASSERT_EQ(RemovedOf(waits, {job, "x"}), 1U);
    ASSERT_EQ(RemovedOf(depth, {job, "x"}), 1U);
  }
  EXPECT_EQ(segment_->series_dropped(), 0U);
  EXPECT_EQ(segment_->series(), 0U);
  EXPECT_EQ(segment_->gauge_parts(), 1U);
}

class RestingTest : public RemovalTest {
 protected:
  RestingTest() : RemovalTest(std::chrono::hours(1)) {}
};

TEST_F(RestingTest, StorageIsNotUsedAgainBeforeItsRestIsOver) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  const CounterHandle old = CounterOf(hits, {"a", "x"});
  EXPECT_EQ(RemovedOf(hits, {"a", "x"}), 1U);
  const CounterHandle again = CounterOf(hits, {"a", "x"});
  EXPECT_FALSE(again == old);
  again.Inc(2);
  EXPECT_EQ(old.Value(), 0);
}

TEST_F(RemovalTest, AnInfoHasTheLastPairsThatWereSet) {
  constexpr std::array<std::string_view, 1> kOne = {"job"};
  const FamilySpec spec = {.name = "build", .help = "Build", .type = MetricType::kInfo, .label_names = kOne};
  const Family build = FamilyOrFail(*segment_, spec);
  const std::array<std::string_view, 1> api = {"api"};
  const std::array<std::string_view, 1> worker = {"worker"};
  const std::array<Family::Pair, 2> first = {Family::Pair{"version", "1"}, Family::Pair{"host", "a\"b"}};
  const std::array<Family::Pair, 1> second = {Family::Pair{"version", "2"}};
  EXPECT_TRUE(build.SetInfo(api, first).ok());
  EXPECT_TRUE(build.SetInfo(worker, first).ok());
  EXPECT_TRUE(build.SetInfo(api, second).ok());
  EXPECT_TRUE(build.SetInfo(api, second).ok());
  EXPECT_TRUE(
      Shows("# TYPE build_info gauge\nbuild_info{job=\"api\",version=\"2\"} 1\n"
            "build_info{job=\"worker\",version=\"1\",host=\"a\\\"b\"} 1\n"));
  EXPECT_EQ(segment_->series(), 2U);
  EXPECT_EQ(RemovedOf(build, {"api"}), 1U);
  EXPECT_FALSE(Shows("job=\"api\""));
}

TEST_F(RestingTest, AThreadThatCountsWhileItsSeriesIsRemovedCountsSomewhereOrNowhereButNeverElsewhere) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  const CounterHandle bystander = CounterOf(hits, {"bystander", "x"});
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const CounterHandle counter = CounterOf(hits, {"a", "x"});
        for (int n = 0; n < 100 && counter.IsCurrent(); ++n) counter.Inc();
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) EXPECT_TRUE(Expose(*segment_, {.format = ExpositionFormat::kOpenMetrics}).ends_with("# EOF\n"));
  });
  std::uint64_t removed = 0;
  while (removed < 30) {
    removed += RemovedOf(hits, {"a", "x"});
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bystander.Value(), 0);
}

// Counts acknowledged in pages that outlive the children.
struct Acknowledged {
  std::atomic<std::uint64_t> hits;
  std::atomic<std::uint64_t> rounds;
};

TEST_F(RestingTest, KillingProcessesThatRegisterAndRemoveBlocksNobodyAndLeavesTheOthersExact) {
  void* page = ::mmap(nullptr, sizeof(Acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto& acknowledged = *new (page) Acknowledged();
  const Family hits = FamilyOrFail(*segment_, kHits);
  const auto come_and_go = [&](unsigned number) {
    const CounterHandle kept = CounterOf(hits, {"kept", "x"});
    const std::string mine = "job-" + std::to_string(number);
    for (;;) {
      CounterOf(hits, {mine, "x"}).Inc();
      (void)hits.Remove(Wanted{mine, "x"});
      kept.Inc();
      acknowledged.hits.fetch_add(1);
      acknowledged.rounds.fetch_add(1);
    }
  };
  std::mt19937 random(11);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a storm that can be repeated
  constexpr unsigned kRounds = 60;
  constexpr std::uint64_t kKills = 2UL * kRounds;
  constexpr std::uint64_t kComings = 2;  // in each round at least, however slow the machine is
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::uint64_t before = acknowledged.rounds.load();
    std::vector<ChildProcess> children;
    children.reserve(2);
    for (unsigned i = 0; i < 2; ++i) children.emplace_back([&, i] { come_and_go((round * 2) + i); });
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (acknowledged.rounds.load() < before + kComings && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 4000));
    for (ChildProcess& child : children) child.Kill();
  }
  const double kept = CounterOf(hits, {"kept", "x"}).Value();
  EXPECT_GE(acknowledged.rounds.load(), kRounds * kComings);
  EXPECT_GE(kept, static_cast<double>(acknowledged.hits.load()));
  EXPECT_LE(kept, static_cast<double>(acknowledged.hits.load() + kKills));
  EXPECT_EQ(segment_->series_dropped(), 0U) << "nobody waited in vain for a killed one";
  // Each child leaves at most the one series that it had when it was killed.
  EXPECT_LE(segment_->series(), 1U + kKills);
  (void)RemovedOf(hits, {});
  EXPECT_EQ(segment_->series(), 0U);
  EXPECT_FALSE(Shows("hits_total{"));
  ::munmap(page, sizeof(Acknowledged));
}

TEST_F(RemovalTest, ALockLeftByAKilledProcessIsTakenOverAndItsWorkCompleted) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  CounterOf(hits, {"a", "x"}).Inc();
  const Result<SegmentFile> again = SegmentFile::Open(OptionsIn(directory_));
  ASSERT_TRUE(again.ok());
  SegmentHeader& header = again.value().header();
  ChildProcess holder([&] {
    header.registering.store(OwnProcessToken());  // and is killed before it lets go
    header.series.store(77);
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(holder.Wait(), 128 + SIGKILL);
  CounterOf(hits, {"b", "x"}).Inc();
  EXPECT_TRUE(Shows("hits_total{job=\"b\",queue=\"x\"} 1\n"));
  EXPECT_EQ(segment_->series(), 2U) << "counted anew";
}

TEST_F(RemovalTest, ARemovalThatAKilledProcessLeftHalfDoneIsCompleted) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  CounterOf(hits, {"a", "x"}).Inc(5);
  CounterOf(hits, {"b", "x"}).Inc();
  const Result<SegmentFile> again = SegmentFile::Open(OptionsIn(directory_));
  ASSERT_TRUE(again.ok());
  SegmentHeader& header = again.value().header();
  ChildProcess holder([&] {
    header.registering.store(OwnProcessToken());
    segment_->ForEachEntry([&](const EntryHead& entry) {  // the first step of a removal, and no more
      const SeriesEntry* series = segment_->SeriesAt(segment_->OffsetOf(entry));
      if (series != nullptr && PackedLabelValues(*series).find('a') != std::string_view::npos) {
        LifeOf(*series).number.store(0);
      }
    });
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(holder.Wait(), 128 + SIGKILL);
  CounterOf(hits, {"c", "x"}).Inc(3);  // in the storage that was freed
  EXPECT_TRUE(Shows("hits_total{job=\"b\",queue=\"x\"} 1\nhits_total{job=\"c\",queue=\"x\"} 3\n# "))
      << Expose(*segment_, {});
  EXPECT_EQ(segment_->series(), 2U);
  EXPECT_EQ(RemovedOf(hits, {}), 2U);
}

TEST_F(RemovalTest, ALockThatALivingProcessKeepsCostsTheSeriesNotTheCaller) {
  const Family hits = FamilyOrFail(*segment_, kHits);
  const Result<SegmentFile> again = SegmentFile::Open(OptionsIn(directory_));
  ASSERT_TRUE(again.ok());
  SegmentHeader& header = again.value().header();
  ChildProcess holder([&] {
    header.registering.store(OwnProcessToken());
    ::pause();
  });
  while (header.registering.load() == 0) std::this_thread::yield();
  CounterOf(hits, {"a", "x"}).Inc();
  EXPECT_TRUE(Shows("hits_total{job=\"__overflow__\",queue=\"__overflow__\"} 1\n"));
  EXPECT_FALSE(hits.Remove(Wanted{"a", "x"}).ok());
  holder.Kill();
  CounterOf(hits, {"a", "x"}).Inc();
  EXPECT_TRUE(Shows("hits_total{job=\"a\",queue=\"x\"} 1\n"));
}

}  // namespace
}  // namespace reqtrail
