#include "metrics/collectable.h"

#include <prometheus/client_metric.h>

#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "metrics/exposition.h"
#include "metrics/snapshot.h"

namespace reqtrail {
namespace {

using prometheus::ClientMetric;

prometheus::MetricType TypeOf(MetricType type) noexcept {
  switch (type) {
    case MetricType::kCounter: return prometheus::MetricType::Counter;
    case MetricType::kHistogram: return prometheus::MetricType::Histogram;
    case MetricType::kSummary: return prometheus::MetricType::Summary;
    case MetricType::kGauge:
    case MetricType::kStateSet:
    case MetricType::kInfo: return prometheus::MetricType::Gauge;
  }
  return prometheus::MetricType::Untyped;
}

std::string NameOf(const FamilyView& family) {
  std::string name(family.name);
  if (family.type == MetricType::kCounter) name += "_total";
  if (family.type == MetricType::kInfo) name += "_info";
  return name;
}

void AddLabel(ClientMetric& metric, std::string_view name, std::string_view value) {
  metric.label.push_back({.name = std::string(name), .value = std::string(value)});
}

ClientMetric Labelled(const FamilyView& family, const SeriesView& series) {
  ClientMetric metric;
  for (std::size_t i = 0; i < family.label_names.size(); ++i) {
    AddLabel(metric, family.label_names[i], series.label_values[i]);
  }
  for (std::size_t i = 0; i + 1 < series.info.size(); i += 2) AddLabel(metric, series.info[i], series.info[i + 1]);
  return metric;
}

ClientMetric::Histogram HistogramOf(const HistogramHandle& histogram) {
  ClientMetric::Histogram shown;
  for (std::size_t bucket = 0; bucket <= histogram.bounds().size(); ++bucket) {
    shown.sample_count += histogram.BucketCount(bucket);
    const bool is_last = bucket == histogram.bounds().size();
    shown.bucket.push_back(
        {.cumulative_count = shown.sample_count,
         .upper_bound = is_last ? std::numeric_limits<double>::infinity() : histogram.bounds()[bucket]});
  }
  shown.sample_sum = histogram.Sum();
  return shown;
}

void AddGauges(prometheus::MetricFamily& shown, const ClientMetric& labelled, const GaugeHandle& gauge,
               Liveness& liveness) {
  for (const auto& [pid, value] : gauge.Samples(liveness)) {
    ClientMetric& metric = shown.metric.emplace_back(labelled);
    if (pid) AddLabel(metric, "pid", std::to_string(*pid));
    metric.gauge.value = value;
  }
}

prometheus::MetricFamily Shown(const FamilyView& family, Liveness& liveness) {
  prometheus::MetricFamily shown{
      .name = NameOf(family), .help = std::string(family.help), .type = TypeOf(family.type), .metric = {}};
  for (const SeriesView& series : family.series) {
    ClientMetric metric = Labelled(family, series);
    switch (family.type) {
      case MetricType::kGauge:
      case MetricType::kStateSet: AddGauges(shown, metric, series.gauge, liveness); continue;
      case MetricType::kCounter: metric.counter.value = series.counter.Value(); break;
      case MetricType::kHistogram: metric.histogram = HistogramOf(series.histogram); break;
      case MetricType::kSummary:
        metric.summary.sample_count = series.histogram.BucketCount(0);
        metric.summary.sample_sum = series.histogram.Sum();
        break;
      case MetricType::kInfo: metric.gauge.value = 1; break;
    }
    shown.metric.push_back(std::move(metric));
  }
  return shown;
}

}  // namespace

std::vector<prometheus::MetricFamily> SegmentCollectable::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  Liveness liveness;
  for (const FamilyView& family : TakeSnapshot(segment_)) {
    if (!family.name.starts_with(kHiddenPrefix)) families.push_back(Shown(family, liveness));
  }
  return families;
}

}  // namespace reqtrail
