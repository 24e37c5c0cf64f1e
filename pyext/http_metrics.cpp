#include "pyext/http_metrics.h"

#include <array>
#include <string>
#include <tuple>

namespace reqtrail {
namespace {

constexpr std::array<const char*, 9> kMethods = {"GET",  "POST",    "PUT",   "PATCH",  "DELETE",
                                                 "HEAD", "OPTIONS", "TRACE", "CONNECT"};
constexpr const char* kOtherMethod = "OTHER";

}  // namespace

const char* KnownMethod(std::string_view method) noexcept {
  for (const char* known : kMethods) {
    if (method == known) return known;
  }
  return kOtherMethod;
}

Result<HttpMetrics> HttpMetrics::Open(Segment& segment, const HttpMetricsOptions& options) {
  constexpr std::string_view kRequestLabels[] = {"method", "handler", "status"};
  constexpr std::string_view kRouteLabels[] = {"method", "handler"};
  constexpr std::string_view kErrorLabels[] = {"endpoint", "status_code", "error_type"};
  const std::string errors_name = std::string(options.errors_namespace) + "_errors";
  HttpMetrics metrics;
  metrics.has_inprogress_ = options.inprogress;
  metrics.group_status_codes_ = options.group_status_codes;
  const std::tuple<bool, Family*, FamilySpec> families[] = {
      {options.requests,
       &metrics.requests_,
       {.name = "http_requests",
        .help = "HTTP requests by method, route template and status.",
        .type = MetricType::kCounter,
        .label_names = kRequestLabels}},
      {options.duration,
       &metrics.duration_,
       {.name = "http_request_duration_seconds",
        .help = "Time from the request to the last byte of its response.",
        .type = MetricType::kHistogram,
        .label_names = kRouteLabels,
        .bounds = options.buckets}},
      {options.inprogress,
       &metrics.inprogress_,
       {.name = "http_requests_inprogress",
        .help = "HTTP requests that are running now, by method and route template.",
        .type = MetricType::kGauge,
        .label_names = kRouteLabels}},
      {options.errors,
       &metrics.errors_,
       {.name = errors_name,
        .help = "Requests that ended in an error, and errors captured by hand, by route template and exception.",
        .type = MetricType::kCounter,
        .label_names = kErrorLabels}},
  };
  for (const auto& [wanted, place, spec] : families) {
    if (!wanted) continue;
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
  const StatusText text(status, group_status_codes_);
  const std::string_view request_values[] = {method, handler, text.view()};
  const std::string_view duration_values[] = {method, handler};
  return {.requests = requests_.Counter(request_values), .duration = duration_.Histogram(duration_values)};
}

GaugeHandle HttpMetrics::InProgress(std::string_view method, std::string_view handler) const noexcept {
  const std::string_view values[] = {method, handler};
  return inprogress_.Gauge(values);
}

void HttpMetrics::CountError(std::string_view endpoint, std::string_view status, std::string_view error_type,
                             std::string_view request_id) const noexcept {
  const std::string_view values[] = {endpoint, status, error_type};
  errors_.Counter(values).Inc(1, request_id);
}

}  // namespace reqtrail
