#pragma once

#include <span>
#include <string>
#include <string_view>

#include "metrics/accept.h"
#include "metrics/segment.h"

namespace reqtrail {

class ServiceProcesses;

/// Families whose names start so are bookkeeping of the segment's own: they are never shown.
inline constexpr std::string_view kHiddenPrefix = "reqtrail_internal_";

/// What a scrape asks for.
struct ExpositionRequest {
  ExpositionFormat format = ExpositionFormat::kText;
  /// Only the samples that are called so; none: all.
  // NOLINTNEXTLINE(readability-redundant-member-init): GCC 12 warns where a designated initializer leaves one out
  std::span<const std::string_view> names = {};
  /// The processes of the service, to be shown as `process_*`; nullptr: not.
  ServiceProcesses* processes = nullptr;
};

/// The whole segment in one of Prometheus' text formats, families by name and series by label values, followed by the
/// segment's own health (`reqtrail_metrics_*`). Values that change meanwhile are each read once: a histogram's count is
/// the sum of the buckets that are shown. Exemplars are written in OpenMetrics only, where they are allowed: on
/// counters and buckets.
[[nodiscard]] std::string Expose(Segment& segment, const ExpositionRequest& request);

}  // namespace reqtrail
