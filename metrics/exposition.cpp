#include "metrics/exposition.h"

#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "metrics/exemplar.h"
#include "metrics/sample_text.h"
#include "metrics/snapshot.h"

namespace reqtrail {
namespace {

std::string_view TypeLine(MetricType type) noexcept {
  switch (type) {
    case MetricType::kCounter: return "counter\n";
    case MetricType::kGauge: return "gauge\n";
    case MetricType::kHistogram: return "histogram\n";
  }
  return "unknown\n";
}

class Writer {
 public:
  explicit Writer(ExpositionFormat format) : is_open_metrics_(format == ExpositionFormat::kOpenMetrics) {}

  void Write(const FamilyView& family) {
    WriteHead(family.name, family.help, family.type);
    for (const SeriesView& series : family.series) {
      if (series.counter) WriteCounter(family, series);
      if (series.gauge) WriteGauge(family, series);
      if (series.histogram) WriteHistogram(family, series);
    }
  }

  void WriteOwn(std::string_view name, std::string_view help, std::uint64_t value) {
    WriteHead(name, help, MetricType::kCounter);
    out_.append(name).append("_total ");
    AppendNumber(out_, value);
    out_ += '\n';
  }

  std::string Finish() {
    if (is_open_metrics_) out_ += "# EOF\n";
    return std::move(out_);
  }

 private:
  // The text format knows a counter by the name of its sample, OpenMetrics by that of its family.
  void WriteHead(std::string_view name, std::string_view help, MetricType type) {
    const bool is_counter = type == MetricType::kCounter;
    const std::string_view suffix = is_counter && !is_open_metrics_ ? "_total " : " ";
    out_.append("# HELP ").append(name).append(suffix);
    AppendEscaped(out_, help, is_open_metrics_);
    out_.append("\n# TYPE ").append(name).append(suffix).append(TypeLine(type));
  }

  void WriteSampleName(const FamilyView& family, std::string_view suffix, const SeriesView& series,
                       std::optional<double> bound = std::nullopt, std::optional<std::uint64_t> pid = std::nullopt) {
    out_.append(family.name).append(suffix);
    char before = '{';
    for (std::size_t i = 0; i < family.label_names.size(); ++i) {
      out_ += before;
      out_.append(family.label_names[i]).append("=\"");
      AppendEscaped(out_, series.label_values[i], true);
      out_ += '"';
      before = ',';
    }
    if (bound) {
      out_ += before;
      out_ += "le=\"";
      AppendBound(out_, *bound);
      out_ += '"';
      before = ',';
    }
    if (pid) {
      out_ += before;
      out_ += "pid=\"";
      AppendNumber(out_, *pid);
      out_ += '"';
      before = ',';
    }
    out_ += before == '{' ? " " : "} ";
  }

  void WriteGauge(const FamilyView& family, const SeriesView& series) {
    for (const auto& [pid, value] : series.gauge.Samples(liveness_)) {
      WriteSampleName(family, "", series, std::nullopt, pid);
      AppendNumber(out_, value);
      out_ += '\n';
    }
  }

  void WriteExemplar(const ExemplarSlot& slot) {
    if (!is_open_metrics_) return;
    const std::optional<Exemplar> exemplar = LoadExemplar(slot);
    if (!exemplar) return;
    out_ += " # ";
    char before = '{';
    for (const auto& [name, value] : exemplar->labels) {
      out_ += before;
      out_.append(name).append("=\"");
      AppendEscaped(out_, value, true);
      out_ += '"';
      before = ',';
    }
    out_ += before == '{' ? "{} " : "} ";
    AppendNumber(out_, exemplar->value);
    out_ += ' ';
    AppendSeconds(out_, exemplar->unix_ns);
  }

  void WriteCounter(const FamilyView& family, const SeriesView& series) {
    WriteSampleName(family, "_total", series);
    AppendNumber(out_, series.counter.Value());
    WriteExemplar(series.counter.exemplar());
    out_ += '\n';
  }

  void WriteHistogram(const FamilyView& family, const SeriesView& series) {
    const HistogramHandle& histogram = series.histogram;
    const std::span<const double> bounds = histogram.bounds();
    std::uint64_t count = 0;
    for (std::size_t bucket = 0; bucket <= bounds.size(); ++bucket) {
      count += histogram.BucketCount(bucket);
      const bool is_last = bucket == bounds.size();
      WriteSampleName(family, "_bucket", series, is_last ? std::numeric_limits<double>::infinity() : bounds[bucket]);
      AppendNumber(out_, count);
      WriteExemplar(histogram.BucketExemplar(bucket));
      out_ += '\n';
    }
    // A sum of negative values looks like a counter that is reset all the time. Where there may be some, nobody shows
    // it; OpenMetrics forbids a negative sum or NaN, and wants sum and count both or none.
    const double sum = histogram.Sum();
    const bool has_sum = (bounds.empty() || bounds.front() >= 0) && (sum >= 0 || !is_open_metrics_);
    if (has_sum || !is_open_metrics_) {
      WriteSampleName(family, "_count", series);
      AppendNumber(out_, count);
      out_ += '\n';
    }
    if (has_sum) {
      WriteSampleName(family, "_sum", series);
      AppendNumber(out_, sum);
      out_ += '\n';
    }
  }

  bool is_open_metrics_;
  Liveness liveness_;
  std::string out_;
};

}  // namespace

std::string Expose(Segment& segment, ExpositionFormat format) {
  Writer writer(format);
  for (const FamilyView& family : TakeSnapshot(segment)) writer.Write(family);
  writer.WriteOwn("reqtrail_metrics_segments_set_aside",
                  "Metrics files that were not usable and were renamed when this one was made.", segment.set_aside());
  writer.WriteOwn("reqtrail_metrics_series_dropped",
                  "Look-ups of label sets that found no room and were answered by the __overflow__ series.",
                  segment.series_dropped());
  return writer.Finish();
}

}  // namespace reqtrail
