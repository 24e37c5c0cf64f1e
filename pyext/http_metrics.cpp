#include "pyext/http_metrics.h"

#include <array>
#include <string>
#include <utility>

#include "core/latency_buckets.h"

namespace reqtrail {
namespace {

constexpr std::array<const char*, 10> kMethods = {"GET",  "POST",    "PUT",   "PATCH",   "DELETE",
                                                  "HEAD", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"};
constexpr const char* kOtherMethod = "OTHER";

}  // namespace

const char* KnownMethod(std::string_view method) noexcept {
  for (const char* known : kMethods) {
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
      {&metrics.requests_,
       {.name = "http_requests",
        .help = "HTTP requests by method, route template and status.",
        .type = MetricType::kCounter,
        .label_names = kRequestLabels}},
      {&metrics.duration_,
       {.name = "http_request_duration_seconds",
        .help = "Time from the request to the last byte of its response.",
        .type = MetricType::kHistogram,
        .label_names = kDurationLabels,
        .bounds = kLatencyBuckets}},
      {&metrics.errors_,
       {.name = errors_name,
        .help = "Requests that ended in a server error, by route template and exception.",
        .type = MetricType::kCounter,
        .label_names = kErrorLabels}},
  };
  for (const auto& [place, spec] : families) {
    Result<Family> family = segment.GetOrCreateFamily(spec);
    if (!family.ok()) return family.error();
    *place = family.value();
  }
  Result<Family> rejected_ids =
      segment.GetOrCreateFamily({.name = "reqtrail_request_ids_rejected",
                                 .help = "Request ids in a request that were refused: not valid, or more than one.",
                                 .type = MetricType::kCounter});
  if (!rejected_ids.ok()) return rejected_ids.error();
  metrics.rejected_ids_ = rejected_ids.value().Counter({});
  return metrics;
}

HttpSeries HttpMetrics::Series(std::string_view method, std::string_view handler, int status) const noexcept {
  const StatusText text(status);
  const std::string_view request_values[] = {method, handler, text.view()};
  const std::string_view duration_values[] = {method, handler};
  return {.requests = requests_.Counter(request_values), .duration = duration_.Histogram(duration_values)};
}

void HttpMetrics::CountError(std::string_view endpoint, int status, std::string_view error_type,
                             std::string_view request_id) const noexcept {
  const StatusText text(status);
  const std::string_view values[] = {endpoint, text.view(), error_type};
  errors_.Counter(values).Inc(1, request_id);
}

}  // namespace reqtrail
