#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <string_view>

#include "metrics/segment.h"

namespace reqtrail {

/// The method as it may be a label's value: one of RFC 9110's, PATCH, WEBSOCKET, or OTHER. Static text that
/// ends in a NUL: one address for one method.
[[nodiscard]] const char* KnownMethod(std::string_view method) noexcept;

/// A status as the value of a label.
class StatusText {
 public:
  explicit StatusText(int status) noexcept
      : size_(static_cast<std::size_t>(std::to_chars(text_.begin(), text_.end(), status).ptr - text_.begin())) {}
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 12> text_{};
  std::size_t size_;
};

/// The series of one method, route template and status.
struct HttpSeries {
  CounterHandle requests;
  HistogramHandle duration;

  /// Counts one request of `seconds`, with `request_id` as the exemplar of both.
  void Record(double seconds, std::string_view request_id) const noexcept {
    requests.Inc(1, request_id);
    duration.Observe(seconds, request_id);
  }
};

/// The HTTP families of a segment. A small value that must not outlive the Segment. Any thread may use it.
class HttpMetrics {
 public:
  /// Joins or makes the families; `errors_namespace` is the prefix of `<namespace>_errors_total`.
  static Result<HttpMetrics> Open(Segment& segment, std::string_view errors_namespace);

  /// REQUIRES: `method` comes from KnownMethod(); `handler` is a route template, never a raw path.
  [[nodiscard]] HttpSeries Series(std::string_view method, std::string_view handler, int status) const noexcept;

  void CountError(std::string_view endpoint, int status, std::string_view error_type,
                  std::string_view request_id) const noexcept;
  void CountRejectedId() const noexcept { rejected_ids_.Inc(); }

 private:
  Family requests_;
  Family duration_;
  Family errors_;
  CounterHandle rejected_ids_;
};

}  // namespace reqtrail
