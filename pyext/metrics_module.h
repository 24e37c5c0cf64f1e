#pragma once

#include <pybind11/pybind11.h>

namespace reqtrail {

/// Adds Segment, ServiceProcesses, the metric types, LATENCY_BUCKETS and what chooses formats to the module. Throws
/// pybind11::error_already_set.
void BindMetrics(pybind11::module_& module);

}  // namespace reqtrail
