#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/accept.h"
#include "metrics/exemplar.h"

namespace reqtrail {

/// One label of a sample. The value is escaped when it is written.
struct SampleLabel {
  std::string_view name;
  std::string_view value;
};

/// Writes one of Prometheus' text formats line by line. With names, only the samples that are called so are written,
/// and of the families only those that have such samples. The views given to it must live until the call is over.
class SampleWriter {
 public:
  SampleWriter(ExpositionFormat format, std::span<const std::string_view> names)
      : is_open_metrics_(format == ExpositionFormat::kOpenMetrics), names_(names) {}

  /// Starts a family. `name` is without the suffix of its samples, `type` is OpenMetrics' word for it.
  void BeginFamily(std::string_view name, std::string_view help, std::string_view type);

  /// Ends it. Each BeginFamily has an EndFamily.
  void EndFamily();

  /// Sets the labels of the samples that follow in this family.
  void SetLabels(std::span<const std::string_view> names, std::span<const std::string_view> values);

  /// Writes a sample called `suffix` behind the family's name. `extra` is a further label.
  void Write(std::string_view suffix, double value, std::optional<SampleLabel> extra = std::nullopt);
  void Write(std::string_view suffix, std::uint64_t value, std::optional<SampleLabel> extra = std::nullopt);

  /// The same with a Unix time in seconds as the value.
  void WriteTime(std::string_view suffix, std::uint64_t unix_ns);

  /// The same with the exemplar that the slot holds, in OpenMetrics.
  void Write(std::string_view suffix, double value, const ExemplarSlot& exemplar);
  void Write(std::string_view suffix, std::uint64_t value, SampleLabel extra, const ExemplarSlot& exemplar);

  [[nodiscard]] bool is_open_metrics() const noexcept { return is_open_metrics_; }

  /// The text, with the end mark of OpenMetrics.
  [[nodiscard]] std::string Finish() &&;

 private:
  [[nodiscard]] bool Begin(std::string_view suffix, const std::optional<SampleLabel>& extra);
  void AppendExemplar(const ExemplarSlot& slot);

  bool is_open_metrics_;
  std::span<const std::string_view> names_;
  std::string out_;
  std::string_view family_;
  std::string labels_;  ///< as they stand in a line, without braces
  std::size_t family_start_ = 0;
  bool has_samples_ = false;
};

}  // namespace reqtrail
