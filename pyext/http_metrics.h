#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <span>
#include <string_view>

#include "core/latency_buckets.h"
#include "metrics/segment.h"

namespace reqtrail {

/// The method as it may be a label's value: one of RFC 9110's, PATCH, or OTHER. Static text that ends in a NUL: one
/// address for one method.
[[nodiscard]] const char* KnownMethod(std::string_view method) noexcept;

/// A status as the value of a label: "404", or grouped "4xx".
class StatusText {
 public:
  explicit StatusText(int status, bool grouped = false) noexcept
      : size_(static_cast<std::size_t>(std::to_chars(text_.begin(), text_.end(), status).ptr - text_.begin())) {
    if (grouped && size_ == 3) text_[1] = text_[2] = 'x';
  }
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 12> text_{};
  std::size_t size_;
};

/// The series of one method, route template and status.
struct HttpSeries {
  CounterHandle requests;
  HistogramHandle duration;

  [[nodiscard]] bool WasRemoved() const noexcept { return requests.WasRemoved() || duration.WasRemoved(); }

  /// Counts one request of `seconds`, with `request_id` as the exemplar of both.
  void Record(double seconds, std::string_view request_id) const noexcept {
    requests.Inc(1, request_id);
    duration.Observe(seconds, request_id);
  }
};

/// What HttpMetrics records. Nothing is kept of the views.
struct HttpMetricsOptions {
  std::string_view errors_namespace;  ///< the prefix of <namespace>_errors_total
  std::span<const double> buckets = kLatencyBuckets;
  bool group_status_codes = false;
  // Which families there are; without one, what belongs to it is not recorded.
  bool requests = true;
  bool duration = true;
  bool inprogress = true;
  bool errors = true;
};

/// The HTTP families of a segment. A small value that must not outlive the Segment. Any thread may use it.
class HttpMetrics {
 public:
  /// Joins or makes the families.
  static Result<HttpMetrics> Open(Segment& segment, const HttpMetricsOptions& options);

  /// REQUIRES: `method` comes from KnownMethod(); `handler` is a route template, never a raw path.
  [[nodiscard]] HttpSeries Series(std::string_view method, std::string_view handler, int status) const noexcept;

  /// The number of running requests. REQUIRES: as Series.
  [[nodiscard]] GaugeHandle InProgress(std::string_view method, std::string_view handler) const noexcept;
  [[nodiscard]] bool HasInProgress() const noexcept { return has_inprogress_; }

  /// `status` is a status, or what stands in its place.
  void CountError(std::string_view endpoint, std::string_view status, std::string_view error_type,
                  std::string_view request_id) const noexcept;
  void CountRejectedId() const noexcept { rejected_ids_.Inc(); }

 private:
  Family requests_;
  Family duration_;
  Family inprogress_;
  Family errors_;
  CounterHandle rejected_ids_;
  bool has_inprogress_ = false;
  bool group_status_codes_ = false;
};

}  // namespace reqtrail
