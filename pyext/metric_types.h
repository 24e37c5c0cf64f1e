#pragma once

#include <Python.h>

#include "pyext/metric_object.h"

namespace reqtrail {

/// Adds the native types Counter, Gauge, Histogram, Summary, Info and StateSet to the module. False with a Python error
/// set.
///
/// An object is a metric without labels, a family (whose labels() gives children), or a child; all three have the same
/// type, as in prometheus_client. It is made unbound, and bound to a Segment by `_bind`, or at its first use by
/// `reqtrail.metrics.open_segment()`. From then on it keeps the Segment alive. Children are kept by their family, so
/// that the same labels give the same object; what the overflow series answers is not. A child whose series was removed
/// makes it again, from 0, when it is used or asked for.
[[nodiscard]] bool AddMetricTypes(PyObject* module);

/// What Gauge.inc(amount) does, of one that adds up. False with a Python error set.
[[nodiscard]] bool AddToGauge(MetricObject& gauge, double amount);

/// What Histogram.observe(value) does: the current request id is the exemplar. False with a Python error set.
[[nodiscard]] bool ObserveInRequest(MetricObject& histogram, double value);

}  // namespace reqtrail
