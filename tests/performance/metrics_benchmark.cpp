// What counting costs in C++: in the shared segment, and in prometheus-cpp, which counts in one process only.
#include <benchmark/benchmark.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/latency_buckets.h"
#include "metrics/segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 2> kLabelNames = {"method", "handler"};
constexpr std::array<std::string_view, 2> kLabelValues = {"GET", "/api/v1/items/{id}"};
constexpr std::string_view kRequestId = "0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1";

// A segment in shared memory that is gone with the program.
Segment& TheSegment() {
  static const std::unique_ptr<Segment> segment = [] {
    std::string directory = "/dev/shm/reqtrail-bench-XXXXXX";
    const bool is_made = ::mkdtemp(directory.data()) != nullptr;
    Result<std::unique_ptr<Segment>> opened = Segment::Open({.service = "bench", .directory = directory});
    if (!is_made || !opened.ok()) {
      std::cerr << "no segment in " << directory << '\n';
      std::exit(1);  // NOLINT(concurrency-mt-unsafe): there are no threads yet
    }
    std::filesystem::remove_all(directory);  // the mapping stays
    return std::move(opened).value();
  }();
  return *segment;
}

Family FamilyOf(const FamilySpec& spec) { return TheSegment().GetOrCreateFamily(spec).value(); }

Family Hits() { return FamilyOf({.name = "hits", .label_names = kLabelNames}); }

Family Waits() {
  return FamilyOf({.name = "waits",
                   .type = MetricType::kHistogram,
                   .label_names = kLabelNames,
                   .bounds = std::span<const double>(kLatencyBuckets)});
}

void CounterInSegment(benchmark::State& state) {
  const CounterHandle counter = Hits().Counter(kLabelValues);
  for ([[maybe_unused]] auto _ : state) counter.Inc();
}

void CounterInPrometheusCpp(benchmark::State& state) {
  static prometheus::Registry registry;
  static prometheus::Counter& counter = prometheus::BuildCounter().Name("hits").Register(registry).Add({});
  for ([[maybe_unused]] auto _ : state) counter.Increment();
}

void LabelsInSegment(benchmark::State& state) {
  const Family hits = Hits();
  for ([[maybe_unused]] auto _ : state) hits.Counter(kLabelValues).Inc();
}

void LabelsInPrometheusCpp(benchmark::State& state) {
  static prometheus::Registry registry;
  static auto& hits = prometheus::BuildCounter().Name("labelled").Register(registry);
  for ([[maybe_unused]] auto _ : state) hits.Add({{"method", "GET"}, {"handler", "/api/v1/items/{id}"}}).Increment();
}

void HistogramInSegment(benchmark::State& state) {
  const HistogramHandle waits = Waits().Histogram(kLabelValues);
  for ([[maybe_unused]] auto _ : state) waits.Observe(0.042);
}

void HistogramInPrometheusCpp(benchmark::State& state) {
  static prometheus::Registry registry;
  static prometheus::Histogram& waits = prometheus::BuildHistogram().Name("waits").Register(registry).Add(
      {}, prometheus::Histogram::BucketBoundaries(kLatencyBuckets.begin(), kLatencyBuckets.end()));
  for ([[maybe_unused]] auto _ : state) waits.Observe(0.042);
}

void ExemplarInSegment(benchmark::State& state) {
  const CounterHandle counter = Hits().Counter(kLabelValues);
  for ([[maybe_unused]] auto _ : state) counter.Inc(1, kRequestId);
}

BENCHMARK(CounterInSegment)->ThreadRange(1, 2);
BENCHMARK(CounterInPrometheusCpp)->ThreadRange(1, 2);
BENCHMARK(LabelsInSegment);
BENCHMARK(LabelsInPrometheusCpp);
BENCHMARK(HistogramInSegment)->ThreadRange(1, 2);
BENCHMARK(HistogramInPrometheusCpp)->ThreadRange(1, 2);
BENCHMARK(ExemplarInSegment);

}  // namespace
}  // namespace reqtrail

BENCHMARK_MAIN();
