#include "pyext/http_metrics.h"

#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "core/latency_buckets.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 10> kMethods = {"GET",    "POST",    "PUT",   "PATCH",   "DELETE",
                                                       "HEAD",   "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"};
constexpr std::string_view kOtherMethod = "OTHER";

class StatusText {
 public:
  explicit StatusText(int status) noexcept
      : size_(static_cast<std::size_t>(std::to_chars(text_.begin(), text_.end(), status).ptr - text_.begin())) {}
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 12> text_{};
  std::size_t size_;
};

}  // namespace

std::string_view KnownMethod(std::string_view method) noexcept {
  for (const std::string_view known : kMethods) {
    if (method == known) return known;
  }
  return kOtherMethod;
}

Result<HttpMetrics> HttpMetrics::Open(Segment& segment, std::string_view errors_namespace) {
  constexpr std::string_view kRequestLabels[] = {"method", "handler", "status"};
  constexpr std::string_view kDurationLabels[] = {"method", "handler"};
  constexpr std::string_view kErrorLabels[] = {"endpoint", "status_code", "error_type"};
  const std::string errors_name = std::string(errors_namespace) + "_errors";
  HttpMetrics metrics;
  const std::pair<Family*, FamilySpec> families[] = {
      {&metrics.requests_, {"http_requests", "HTTP requests by method, route template and status.", MetricType::kCounter,
                            kRequestLabels, {}}},
      {&metrics.duration_, {"http_request_duration_seconds", "Time from the request to the last byte of its response.",
                            MetricType::kHistogram, kDurationLabels, kLatencyBuckets}},
      {&metrics.errors_, {errors_name, "Requests that ended in a server error, by route template and exception.",
                          MetricType::kCounter, kErrorLabels, {}}},
  };
  for (const auto& [place, spec] : families) {
    Result<Family> family = segment.GetOrCreateFamily(spec);
    if (!family.ok()) return family.error();
    *place = family.value();
  }
  Result<Family> rejected_ids = segment.GetOrCreateFamily(
      {"reqtrail_request_ids_rejected", "Request ids in a request that were refused: not valid, or more than one.",
       MetricType::kCounter, {}, {}});
  if (!rejected_ids.ok()) return rejected_ids.error();
  metrics.rejected_ids_ = rejected_ids.value().Counter({});
  return metrics;
}

HttpSeries HttpMetrics::Series(std::string_view method, std::string_view handler, int status) const noexcept {
  const StatusText text(status);
  const std::string_view request_values[] = {method, handler, text.view()};
  const std::string_view duration_values[] = {method, handler};
  return {requests_.Counter(request_values), duration_.Histogram(duration_values)};
}

void HttpMetrics::CountError(std::string_view endpoint, int status, std::string_view error_type,
                             std::string_view request_id) const noexcept {
  const StatusText text(status);
  const std::string_view values[] = {endpoint, text.view(), error_type};
  errors_.Counter(values).Inc(1, request_id);
}

}  // namespace reqtrail
