#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "metrics/segment.h"

namespace reqtrail {

/// A segment for prometheus-cpp: to be registered with its Exposer or Gateway, so that C++ code of the same process
/// shows the service's series beside its own. prometheus-cpp knows no exemplars, and shows an info and a state set as
/// gauges. The segment must outlive it. Any thread may call it.
class SegmentCollectable : public prometheus::Collectable {
 public:
  explicit SegmentCollectable(Segment& segment) noexcept : segment_(segment) {}

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Segment& segment_;
};

}  // namespace reqtrail
