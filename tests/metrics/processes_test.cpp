// What several processes do to one segment at once, and what is left when they are killed.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "metrics/exposition.h"
#include "metrics/segment.h"
#include "tests/metrics/child_process.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 1> kLabels = {"path"};
constexpr std::array<double, 3> kBounds = {0.1, 1, 10};
constexpr FamilySpec kHits = {.name = "hits", .help = "Hits", .label_names = kLabels};
constexpr FamilySpec kSizes = {
    .name = "sizes", .help = "Sizes", .type = MetricType::kHistogram, .label_names = kLabels, .bounds = kBounds};

std::uint64_t CountOf(const HistogramHandle& histogram) {
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket <= histogram.bounds().size(); ++bucket) count += histogram.BucketCount(bucket);
  return count;
}

// Forks children that each run `body` with their number.
template <typename Body>
std::vector<ChildProcess> Start(unsigned count, Body body) {
  std::vector<ChildProcess> children;
  children.reserve(count);
  for (unsigned i = 0; i < count; ++i) children.emplace_back([&body, i] { body(i); });
  return children;
}

// Waits until `processes` have come here; a process that stays alone for long ends with status 1.
void MeetAt(const CounterHandle& place, double processes) {
  place.Inc();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (place.Value() < processes) {
    if (std::chrono::steady_clock::now() > deadline) ::_exit(1);
    std::this_thread::yield();
  }
}

// Registers the same families and series as everybody else, in an order of its own, and counts.
void Work(Segment& segment, unsigned seed, int rounds) {
  std::mt19937 random(seed);
  const Family hits = FamilyOrFail(segment, kHits);
  const Family sizes = FamilyOrFail(segment, kSizes);
  for (int i = 0; i < rounds; ++i) {
    const std::string path = "/" + std::to_string(random() % 50);
    CounterOf(hits, {path}).Inc(i % 2 == 0 ? 1 : 0.5, std::string_view("request-1"));
    HistogramOf(sizes, {path}).Observe(0.5, std::string_view("request-2"));
  }
}

void ExpectTotals(Segment& segment, double hits_expected, std::uint64_t sizes_expected) {
  const Family hits = FamilyOrFail(segment, kHits);
  const Family sizes = FamilyOrFail(segment, kSizes);
  double hits_total = 0;
  double sum = 0;
  std::uint64_t sizes_total = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string path = "/" + std::to_string(i);
    hits_total += CounterOf(hits, {path}).Value();
    sizes_total += CountOf(HistogramOf(sizes, {path}));
    sum += HistogramOf(sizes, {path}).Sum();
  }
  EXPECT_EQ(hits_total, hits_expected);
  EXPECT_EQ(sizes_total, sizes_expected);
  EXPECT_EQ(sum, 0.5 * static_cast<double>(sizes_expected));
  EXPECT_EQ(segment.series(), 100U) << "each series exists once, however many raced to make it";
}

TEST(ProcessesTest, TotalsOfForkedChildrenAreExact) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  std::vector<ChildProcess> children = Start(8, [&](unsigned seed) { Work(*segment, seed, 4000); });
  for (ChildProcess& child : children) EXPECT_EQ(child.Wait(), 0);
  ExpectTotals(*segment, 8 * 4000 * 0.75, 8UL * 4000);
}

TEST(ProcessesTest, TotalsOfProcessesThatOpenItThemselvesAreExact) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  std::vector<ChildProcess> children = Start(8, [&](unsigned seed) {
    const std::unique_ptr<Segment> own = OpenOrFail(OptionsIn(directory));
    Work(*own, seed, 2000);
  });
  for (ChildProcess& child : children) EXPECT_EQ(child.Wait(), 0);
  ExpectTotals(*segment, 8 * 2000 * 0.75, 8UL * 2000);
}

TEST(ProcessesTest, ProcessesThatStartTogetherShareOneSegment) {
  const TemporaryDirectory directory;
  for (int round = 0; round < 5; ++round) {
    SegmentOptions options = OptionsIn(directory);
    options.service = "round" + std::to_string(round);
    std::vector<ChildProcess> children = Start(8, [&](unsigned) {
      const std::unique_ptr<Segment> own = OpenOrFail(options);
      const CounterHandle hits = CounterOf(FamilyOrFail(*own, kHits), {"/"});
      MeetAt(hits, 8);  // nobody leaves before all have met
    });
    for (ChildProcess& child : children) EXPECT_EQ(child.Wait(), 0);
  }
}

TEST(ProcessesTest, TotalsOfThreadsAreExactWhileScraped) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  std::atomic<bool> stop = false;
  std::thread scraper([&] {
    while (!stop) EXPECT_TRUE(Expose(*segment, {.format = ExpositionFormat::kOpenMetrics}).ends_with("# EOF\n"));
  });
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back([&, i] { Work(*segment, i, 2000); });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  scraper.join();
  ExpectTotals(*segment, 4 * 2000 * 0.75, 4UL * 2000);
}

TEST(ProcessesTest, TotalsOfOneHotSeriesAreExact) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  const CounterHandle counter = CounterOf(FamilyOrFail(*segment, kHits), {"/"});
  const HistogramHandle histogram = HistogramOf(FamilyOrFail(*segment, kSizes), {"/"});
  const CounterHandle start = CounterOf(FamilyOrFail(*segment, kHits), {"/start"});
  constexpr std::uint64_t kRounds = 500'000;
  std::vector<ChildProcess> children = Start(4, [&](unsigned) {
    MeetAt(start, 4);
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      counter.Inc();
      counter.Inc(0.25);
      histogram.Observe(0.5);
    }
  });
  for (ChildProcess& child : children) EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(counter.Value(), 4 * 1.25 * kRounds);
  EXPECT_EQ(CountOf(histogram), 4 * kRounds);
  EXPECT_EQ(histogram.Sum(), 4 * 0.5 * kRounds);
}

// What the children of the storm acknowledge lives in a page of its own, so that it survives them too.
struct Acknowledged {
  std::atomic<std::uint64_t> hits;
  std::atomic<std::uint64_t> observations;
  std::atomic<std::uint64_t> next_path;
};

TEST(ProcessesTest, KillingProcessesAtAnyMomentLosesNothingThatWasCounted) {
  const TemporaryDirectory directory;
  SegmentOptions options = OptionsIn(directory);
  options.max_series = 100'000;
  options.capacity_bytes = 512UL << 20U;
  const std::unique_ptr<Segment> segment = OpenOrFail(options);
  void* page = ::mmap(nullptr, sizeof(Acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto& acknowledged = *new (page) Acknowledged();

  const auto count_for_ever = [&](unsigned) {
    const std::unique_ptr<Segment> own = OpenOrFail(options);
    const Family hits = FamilyOrFail(*own, kHits);
    const Family sizes = FamilyOrFail(*own, kSizes);
    for (;;) {
      const std::string path = "/" + std::to_string(acknowledged.next_path.fetch_add(1) / 3 % 20'000);
      CounterOf(hits, {path}).Inc(1, std::string_view("request-of-the-storm"));
      acknowledged.hits.fetch_add(1);
      HistogramOf(sizes, {path}).Observe(1, std::string_view("request-of-the-storm"));
      acknowledged.observations.fetch_add(1);
    }
  };
  constexpr std::uint64_t kRounds = 40;
  constexpr unsigned kProcesses = 3;
  constexpr std::uint64_t kHitsARound = 50;
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a storm that can be repeated
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const std::uint64_t before = acknowledged.hits.load();
    std::vector<ChildProcess> children = Start(kProcesses, count_for_ever);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (acknowledged.hits.load() < before + kHitsARound && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5'000));
    for (ChildProcess& child : children) child.Kill();
  }

  const Family hits = FamilyOrFail(*segment, kHits);
  const Family sizes = FamilyOrFail(*segment, kSizes);
  double hits_total = 0;
  std::uint64_t observations = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string path = "/" + std::to_string(i);
    hits_total += CounterOf(hits, {path}).Value();
    observations += CountOf(HistogramOf(sizes, {path}));
  }
  constexpr std::uint64_t kKills = kRounds * kProcesses;  // each may have counted once without acknowledging
  EXPECT_GE(acknowledged.hits.load(), kRounds * kHitsARound);
  EXPECT_GE(hits_total, static_cast<double>(acknowledged.hits.load()));
  EXPECT_LE(hits_total, static_cast<double>(acknowledged.hits.load() + kKills));
  EXPECT_GE(observations, acknowledged.observations.load());
  EXPECT_LE(observations, acknowledged.observations.load() + kKills);
  EXPECT_EQ(segment->series_dropped(), 0U);
  ::munmap(page, sizeof(Acknowledged));
}

TEST(ProcessesTest, AThousandProcessesComeAndGoWithoutATrace) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  const Family hits = FamilyOrFail(*segment, kHits);
  CounterOf(hits, {"/"}).Inc();
  const std::string before = Expose(*segment, {.format = ExpositionFormat::kText});
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(ChildProcess([&] { CounterOf(hits, {"/"}).Inc(); }).Wait(), 0);
  }
  EXPECT_EQ(CounterOf(hits, {"/"}).Value(), 1001);
  EXPECT_EQ(Expose(*segment, {.format = ExpositionFormat::kText}).size(), before.size() + 3)
      << "1 became 1001, nothing else";
}

}  // namespace
}  // namespace reqtrail
