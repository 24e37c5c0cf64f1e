#pragma once

#include <string>

#include "metrics/accept.h"
#include "metrics/segment.h"

namespace reqtrail {

/// The whole segment in one of Prometheus' text formats, families by name and series by label values, followed by the
/// segment's own health (`reqtrail_metrics_*`). Values that change meanwhile are each read once: a histogram's count is
/// the sum of the buckets that are shown. Exemplars are written in OpenMetrics only, where they are allowed: on
/// counters and buckets.
[[nodiscard]] std::string Expose(Segment& segment, ExpositionFormat format);

}  // namespace reqtrail
