#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "metrics/counter.h"
#include "metrics/gauge.h"
#include "metrics/histogram.h"
#include "metrics/layout.h"
#include "metrics/segment.h"

namespace reqtrail {

/// One series: its labels, and the handle of its type (the others are empty) to read it by.
struct SeriesView {
  std::vector<std::string_view> label_values;
  std::vector<std::string_view> info;  ///< what an info says: name, value, name, value ...
  std::uint64_t created_unix_ns = 0;
  CounterHandle counter;
  GaugeHandle gauge;
  HistogramHandle histogram;
};

struct FamilyView {
  std::string_view name;
  std::string_view help;
  MetricType type = MetricType::kCounter;
  std::vector<std::string_view> label_names;
  std::vector<SeriesView> series;  ///< by their label values
};

/// What is registered in a segment at this moment, families by name. The text and the handles are views of the mapping,
/// and must not outlive the Segment. Entries that are damaged or of an unknown kind are left out, and so is an overflow
/// series that counted nothing.
[[nodiscard]] std::vector<FamilyView> TakeSnapshot(Segment& segment);

}  // namespace reqtrail
