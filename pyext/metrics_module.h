#pragma once

#include <pybind11/pybind11.h>

#include "metrics/segment.h"

namespace reqtrail {

/// Adds Segment, Counter, Histogram and LATENCY_BUCKETS to the module. Throws pybind11::error_already_set.
void BindMetrics(pybind11::module_& module);

/// The segment inside a `reqtrail._native.Segment`; it lives as long as that object. nullptr with TypeError set for
/// anything else. REQUIRES: the GIL.
[[nodiscard]] Segment* SegmentOf(PyObject* object);

}  // namespace reqtrail
