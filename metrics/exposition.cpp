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
    case MetricType::kSummary: return "summary";
    case MetricType::kInfo: return "info";
    case MetricType::kStateSet: return "stateset";
  }
  return "unknown";
}

void WriteGauge(SampleWriter& writer, const GaugeHandle& gauge, Liveness& liveness) {
  for (const auto& [pid, value] : gauge.Samples(liveness)) {
    const std::string text = pid ? std::to_string(*pid) : std::string();
    writer.Write("", value, pid ? std::optional(SampleLabel{.name = "pid", .value = text}) : std::nullopt);
  }
}

// A sum of negative values looks like a counter that is reset all the time. Where there may be some, nobody shows it in
// a histogram; OpenMetrics forbids a negative sum or NaN, and wants sum and count both or none.
void WriteCountAndSum(SampleWriter& writer, std::uint64_t count, double sum, bool has_sum) {
  has_sum = has_sum && (sum >= 0 || !writer.is_open_metrics());
  if (has_sum || !writer.is_open_metrics()) writer.Write("_count", count);
  if (has_sum) writer.Write("_sum", sum);
}

void WriteHistogram(SampleWriter& writer, const HistogramHandle& histogram, std::span<const std::string> bound_texts) {
  const std::span<const double> bounds = histogram.bounds();
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket <= bounds.size(); ++bucket) {
    count += histogram.BucketCount(bucket);
    writer.Write("_bucket", count, SampleLabel{.name = "le", .value = bound_texts[bucket]},
                 histogram.BucketExemplar(bucket));
  }
  WriteCountAndSum(writer, count, histogram.Sum(), bounds.front() >= 0);
}

void WriteInfo(SampleWriter& writer, const FamilyView& family, const SeriesView& series) {
  std::vector<std::string_view> names = family.label_names;
  std::vector<std::string_view> values = series.label_values;
  for (std::size_t i = 0; i + 1 < series.info.size(); i += 2) {
    names.push_back(series.info[i]);
    values.push_back(series.info[i + 1]);
  }
  writer.SetLabels(names, values);
  writer.Write("_info", 1.0);
}

std::vector<std::string> BoundTexts(const FamilyView& family) {
  std::vector<std::string> texts;
  if (family.type != MetricType::kHistogram || family.series.empty()) return texts;
  for (const double bound : family.series.front().histogram.bounds()) AppendBound(texts.emplace_back(), bound);
  AppendBound(texts.emplace_back(), std::numeric_limits<double>::infinity());
  return texts;
}

void WriteSeries(SampleWriter& writer, const FamilyView& family, const SeriesView& series,
                 std::span<const std::string> bound_texts, Liveness& liveness) {
  switch (family.type) {
    case MetricType::kCounter: writer.Write("_total", series.counter.Value(), series.counter.exemplar()); break;
    case MetricType::kGauge:
    case MetricType::kStateSet: WriteGauge(writer, series.gauge, liveness); break;
    case MetricType::kHistogram: WriteHistogram(writer, series.histogram, bound_texts); break;
    case MetricType::kSummary:
      WriteCountAndSum(writer, series.histogram.BucketCount(0), series.histogram.Sum(), true);
      break;
    case MetricType::kInfo: WriteInfo(writer, family, series); break;
  }
}

bool HasCreated(MetricType type) noexcept {
  return type == MetricType::kCounter || type == MetricType::kHistogram || type == MetricType::kSummary;
}

// In the text format, which does not know of them, the times are a family of their own.
void WriteCreated(SampleWriter& writer, const FamilyView& family) {
  const std::string name = std::string(family.name) + "_created";
  writer.BeginFamily(name, family.help, "gauge");
  for (const SeriesView& series : family.series) {
    writer.SetLabels(family.label_names, series.label_values);
    writer.WriteTime("", series.created_unix_ns);
  }
  writer.EndFamily();
}

void WriteFamily(SampleWriter& writer, const FamilyView& family, bool show_created, Liveness& liveness) {
  const std::vector<std::string> bound_texts = BoundTexts(family);
  const bool is_created_shown = show_created && HasCreated(family.type);
  writer.BeginFamily(family.name, family.help, TypeWord(family.type));
  for (const SeriesView& series : family.series) {
    writer.SetLabels(family.label_names, series.label_values);
    WriteSeries(writer, family, series, bound_texts, liveness);
    if (is_created_shown && writer.is_open_metrics()) writer.WriteTime("_created", series.created_unix_ns);
  }
  writer.EndFamily();
  if (is_created_shown && !writer.is_open_metrics()) WriteCreated(writer, family);
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
    if (!family.name.starts_with(kHiddenPrefix)) WriteFamily(writer, family, segment.show_created(), liveness);
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
