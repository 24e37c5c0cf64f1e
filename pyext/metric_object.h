#pragma once

#include <Python.h>

#include <string_view>
#include <vector>

#include "metrics/segment.h"

/// The Python object that each metric is, and its life: bound to a segment, a family of children, a child.
/// REQUIRES throughout: the GIL.
namespace reqtrail {

struct MetricObject {
  PyObject_HEAD PyObject* name;
  PyObject* documentation;
  PyObject* label_names;   // tuple of str
  PyObject* label_values;  // tuple of str in a child, else nullptr
  PyObject* buckets;       // tuple of float: the bounds without +Inf
  PyObject* segment;       // nullptr until bound
  PyObject* children;      // of a family: dict from label values to child
  PyObject* overflow;      // of a family: the child for what found no room
  Family family;
  CounterHandle counter;  // not empty: this counter can be used
  GaugeHandle gauge;
  HistogramHandle histogram;
  MetricType type;
  GaugeMode gauge_mode;
};

inline MetricObject* Metric(PyObject* self) { return reinterpret_cast<MetricObject*>(self); }

inline PyObject* NewReference(PyObject* object) {
  Py_XINCREF(object);
  return object;
}

/// The word for the type in error messages.
[[nodiscard]] const char* TypeName(MetricType type);

/// Whether it has labels that are not given: it counts nothing itself.
[[nodiscard]] bool IsFamily(const MetricObject& metric);

/// Whether its series is there, and was not removed.
[[nodiscard]] bool IsCurrent(const MetricObject& metric);

/// What counting needs when the handle is not current: labels, a segment, and the series, which is made again if it was
/// removed. False with a Python error set.
[[nodiscard]] bool MakeUsable(MetricObject& metric);

/// The methods `labels`, `_bind` and `_remove`, and __str__.
PyObject* Labels(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);
PyObject* Bind(PyObject* self, PyObject* segment);
PyObject* Remove(PyObject* self, PyObject* label_values);
PyObject* Str(PyObject* self);

}  // namespace reqtrail
