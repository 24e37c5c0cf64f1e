#include "metrics/sample_writer.h"

#include <algorithm>
#include <utility>

#include "metrics/sample_text.h"

namespace reqtrail {
namespace {

void AppendLabel(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append("=\"");
  AppendEscaped(out, value, true);
  out += '"';
}

}  // namespace

// The text format knows a counter by the name of its sample, OpenMetrics by that of its family; the types of
// OpenMetrics that it does not have are gauges there.
void SampleWriter::BeginFamily(std::string_view name, std::string_view help, std::string_view type) {
  family_ = name;
  family_start_ = out_.size();
  has_samples_ = false;
  labels_.clear();
  std::string_view suffix = " ";
  if (!is_open_metrics_) {
    if (type == "counter") suffix = "_total ";
    if (type == "info") suffix = "_info ";
    if (type == "info" || type == "stateset") type = "gauge";
  }
  out_.append("# HELP ").append(name).append(suffix);
  AppendEscaped(out_, help, is_open_metrics_);
  out_.append("\n# TYPE ").append(name).append(suffix).append(type) += '\n';
}

void SampleWriter::EndFamily() {
  if (!names_.empty() && !has_samples_) out_.resize(family_start_);
}

void SampleWriter::SetLabels(std::span<const std::string_view> names, std::span<const std::string_view> values) {
  labels_.clear();
  for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i) {
    if (i > 0) labels_ += ',';
    AppendLabel(labels_, names[i], values[i]);
  }
}

bool SampleWriter::Begin(std::string_view suffix, const std::optional<SampleLabel>& extra) {
  const bool is_wanted =
      names_.empty() || std::ranges::any_of(names_, [&](std::string_view name) {
        return name.size() == family_.size() + suffix.size() && name.starts_with(family_) && name.ends_with(suffix);
      });
  if (!is_wanted) return false;
  has_samples_ = true;
  out_.append(family_).append(suffix);
  if (!labels_.empty() || extra) {
    out_ += '{';
    out_ += labels_;
    if (extra) {
      if (!labels_.empty()) out_ += ',';
      AppendLabel(out_, extra->name, extra->value);
    }
    out_ += '}';
  }
  out_ += ' ';
  return true;
}

void SampleWriter::Write(std::string_view suffix, double value, std::optional<SampleLabel> extra) {
  if (!Begin(suffix, extra)) return;
  AppendNumber(out_, value);
  out_ += '\n';
}

void SampleWriter::Write(std::string_view suffix, std::uint64_t value, std::optional<SampleLabel> extra) {
  if (!Begin(suffix, extra)) return;
  AppendNumber(out_, value);
  out_ += '\n';
}

void SampleWriter::WriteTime(std::string_view suffix, std::uint64_t unix_ns) {
  if (!Begin(suffix, std::nullopt)) return;
  AppendSeconds(out_, unix_ns);
  out_ += '\n';
}

void SampleWriter::Write(std::string_view suffix, double value, const ExemplarSlot& exemplar) {
  if (!Begin(suffix, std::nullopt)) return;
  AppendNumber(out_, value);
  AppendExemplar(exemplar);
}

void SampleWriter::Write(std::string_view suffix, std::uint64_t value, SampleLabel extra,
                         const ExemplarSlot& exemplar) {
  if (!Begin(suffix, extra)) return;
  AppendNumber(out_, value);
  AppendExemplar(exemplar);
}

void SampleWriter::AppendExemplar(const ExemplarSlot& slot) {
  const std::optional<Exemplar> exemplar = is_open_metrics_ ? LoadExemplar(slot) : std::nullopt;
  if (exemplar) {
    out_ += " # {";
    for (const auto& [name, value] : exemplar->labels) {
      if (out_.back() != '{') out_ += ',';
      AppendLabel(out_, name, value);
    }
    out_ += "} ";
    AppendNumber(out_, exemplar->value);
    out_ += ' ';
    AppendSeconds(out_, exemplar->unix_ns);
  }
  out_ += '\n';
}

std::string SampleWriter::Finish() && {
  if (is_open_metrics_) out_ += "# EOF\n";
  return std::move(out_);
}

}  // namespace reqtrail
