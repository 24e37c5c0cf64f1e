#include "metrics/exposition.h"

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/sample_text.h"
#include "metrics/sample_writer.h"
#include "metrics/service_processes.h"
#include "metrics/snapshot.h"

namespace reqtrail {
namespace {

std::string_view TypeWord(MetricType type) noexcept {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
  }
  return "unknown";
}

void WriteGauge(SampleWriter& writer, const GaugeHandle& gauge, Liveness& liveness) {
  for (const auto& [pid, value] : gauge.Samples(liveness)) {
    const std::string text = pid ? std::to_string(*pid) : std::string();
    writer.Write("", value, pid ? std::optional(SampleLabel{.name = "pid", .value = text}) : std::nullopt);
  }
}

void WriteHistogram(SampleWriter& writer, const HistogramHandle& histogram, std::span<const std::string> bound_texts) {
  const std::span<const double> bounds = histogram.bounds();
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket <= bounds.size(); ++bucket) {
    count += histogram.BucketCount(bucket);
    writer.Write("_bucket", count, SampleLabel{.name = "le", .value = bound_texts[bucket]},
                 histogram.BucketExemplar(bucket));
  }
  // A sum of negative values looks like a counter that is reset all the time. Where there may be some, nobody shows
  // it; OpenMetrics forbids a negative sum or NaN, and wants sum and count both or none.
  const double sum = histogram.Sum();
  const bool has_sum = (bounds.empty() || bounds.front() >= 0) && (sum >= 0 || !writer.is_open_metrics());
  if (has_sum || !writer.is_open_metrics()) writer.Write("_count", count);
  if (has_sum) writer.Write("_sum", sum);
}

std::vector<std::string> BoundTexts(const FamilyView& family) {
  std::vector<std::string> texts;
  if (family.type != MetricType::kHistogram || family.series.empty()) return texts;
  for (const double bound : family.series.front().histogram.bounds()) AppendBound(texts.emplace_back(), bound);
  AppendBound(texts.emplace_back(), std::numeric_limits<double>::infinity());
  return texts;
}

void WriteFamily(SampleWriter& writer, const FamilyView& family, Liveness& liveness) {
  const std::vector<std::string> bound_texts = BoundTexts(family);
  writer.BeginFamily(family.name, family.help, TypeWord(family.type));
  for (const SeriesView& series : family.series) {
    writer.SetLabels(family.label_names, series.label_values);
    if (series.counter) writer.Write("_total", series.counter.Value(), series.counter.exemplar());
    if (series.gauge) WriteGauge(writer, series.gauge, liveness);
    if (series.histogram) WriteHistogram(writer, series.histogram, bound_texts);
  }
  writer.EndFamily();
}

void WriteOwn(SampleWriter& writer, std::string_view name, std::string_view help, std::uint64_t value) {
  writer.BeginFamily(name, help, "counter");
  writer.Write("_total", value);
  writer.EndFamily();
}

}  // namespace

std::string Expose(Segment& segment, const ExpositionRequest& request) {
  SampleWriter writer(request.format, request.names);
  Liveness liveness;
  for (const FamilyView& family : TakeSnapshot(segment)) {
    if (!family.name.starts_with(kHiddenPrefix)) WriteFamily(writer, family, liveness);
  }
  WriteOwn(writer, "reqtrail_metrics_segments_set_aside",
           "Metrics files that were not usable and were renamed when this one was made.", segment.set_aside());
  WriteOwn(writer, "reqtrail_metrics_series_dropped",
           "Look-ups of label sets that found no room and were answered by the __overflow__ series.",
           segment.series_dropped());
  if (request.processes != nullptr) request.processes->Write(writer, liveness);
  return std::move(writer).Finish();
}

}  // namespace reqtrail
