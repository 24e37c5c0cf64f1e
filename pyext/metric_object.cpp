#include "pyext/metric_object.h"

#include <optional>

#include "pyext/metric_arguments.h"
#include "pyext/segment_object.h"

namespace reqtrail {
namespace {

// Looks up the handle of a metric that is bound and has all its labels.
bool Attach(MetricObject& metric, const std::vector<std::string_view>& label_values) {
  metric.counter = metric.family.Counter(label_values);
  metric.gauge = metric.family.Gauge(label_values);
  metric.histogram = metric.family.Histogram(label_values);
  if (metric.counter || metric.gauge || metric.histogram || metric.type == MetricType::kInfo) return true;
  PyErr_SetString(PyExc_OSError, "the metrics segment is damaged");
  return false;
}

bool BindTo(MetricObject& metric, PyObject* segment_object) {
  if (metric.segment == segment_object) return true;
  if (metric.segment != nullptr) {
    PyErr_Format(PyExc_ValueError, "%s:%U belongs to another segment", TypeName(metric.type), metric.name);
    return false;
  }
  Segment* segment = SegmentOf(segment_object);
  if (segment == nullptr) return false;
  const auto name = Utf8Of(metric.name);
  const auto documentation = Utf8Of(metric.documentation);
  const auto label_names = Utf8OfAll(metric.label_names);
  const auto bounds = BoundsOf(metric.buckets);
  if (!name || !documentation || !label_names || !bounds) return false;
  const Result<Family> family = segment->GetOrCreateFamily({.name = *name,
                                                            .help = *documentation,
                                                            .type = metric.type,
                                                            .label_names = *label_names,
                                                            .bounds = *bounds,
                                                            .gauge_mode = metric.gauge_mode});
  if (!family.ok()) {
    SetPythonError(family.error());
    return false;
  }
  metric.family = family.value();
  if (!IsFamily(metric) && !Attach(metric, {})) return false;
  metric.segment = NewReference(segment_object);
  return true;
}

bool BindToDefault(MetricObject& metric) {
  PyObject* module = PyImport_ImportModule("reqtrail.metrics");
  if (module == nullptr) return false;
  PyObject* segment = PyObject_CallMethod(module, "open_segment", nullptr);
  Py_DECREF(module);
  const bool is_bound = segment != nullptr && BindTo(metric, segment);
  Py_XDECREF(segment);
  return is_bound;
}

// Forgets the children whose series were removed, by whichever process.
bool DropRemovedChildren(MetricObject& family) {
  PyObject* children = PyDict_Items(family.children);
  if (children == nullptr) return false;
  bool is_done = true;
  for (Py_ssize_t i = 0; is_done && i < PyList_GET_SIZE(children); ++i) {
    PyObject* item = PyList_GET_ITEM(children, i);
    if (IsCurrent(*Metric(PyTuple_GET_ITEM(item, 1)))) continue;
    is_done = PyDict_DelItem(family.children, PyTuple_GET_ITEM(item, 0)) == 0;
  }
  Py_DECREF(children);
  return is_done;
}

PyObject* NewChild(const MetricObject& family, PyObject* self, PyObject* label_values) {
  const auto texts = Utf8OfAll(label_values);
  if (!texts) return nullptr;
  PyObject* child_object = Py_TYPE(self)->tp_alloc(Py_TYPE(self), 0);
  if (child_object == nullptr) return nullptr;
  MetricObject& child = *Metric(child_object);
  child.name = NewReference(family.name);
  child.documentation = NewReference(family.documentation);
  child.label_names = NewReference(family.label_names);
  child.label_values = NewReference(label_values);
  child.buckets = NewReference(family.buckets);
  child.segment = NewReference(family.segment);
  child.family = family.family;
  child.type = family.type;
  child.gauge_mode = family.gauge_mode;
  if (Attach(child, *texts)) return child_object;
  Py_DECREF(child_object);
  return nullptr;
}

// A child that the family has not seen: the series is found or made. Consumes nothing, returns a new reference.
PyObject* FindChild(MetricObject& family, PyObject* self, PyObject* label_values) {
  PyObject* child = NewChild(family, self, label_values);
  if (child == nullptr) return nullptr;
  if (family.family.IsOverflow(Metric(child)->counter) || family.family.IsOverflow(Metric(child)->gauge) ||
      family.family.IsOverflow(Metric(child)->histogram)) {
    if (family.overflow == nullptr) family.overflow = NewReference(child);
    Py_DECREF(child);
    return NewReference(family.overflow);
  }
  // A family never has more series than its segment: what is more was removed by other processes.
  const std::uint64_t limit = SegmentOf(family.segment)->max_series();
  if (static_cast<std::uint64_t>(PyDict_GET_SIZE(family.children)) >= limit && !DropRemovedChildren(family)) {
    Py_DECREF(child);
    return nullptr;
  }
  PyObject* kept = PyDict_SetDefault(family.children, label_values, child);
  Py_INCREF(kept);
  Py_DECREF(child);
  return kept;
}

}  // namespace

const char* TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
    case MetricType::kSummary: return "summary";
    case MetricType::kInfo: return "info";
    case MetricType::kStateSet: return "stateset";
  }
  return "metric";
}

bool IsFamily(const MetricObject& metric) {
  return metric.label_values == nullptr && PyTuple_GET_SIZE(metric.label_names) > 0;
}

bool IsCurrent(const MetricObject& metric) {
  return metric.counter.IsCurrent() || metric.histogram.IsCurrent() || metric.gauge.IsCurrent();
}

bool MakeUsable(MetricObject& metric) {
  if (IsFamily(metric)) {
    PyErr_Format(PyExc_ValueError, "%s metric is missing label values", TypeName(metric.type));
    return false;
  }
  if (metric.segment == nullptr) return BindToDefault(metric);
  if (metric.label_values == nullptr) return Attach(metric, {});
  const auto label_values = Utf8OfAll(metric.label_values);
  return label_values && Attach(metric, *label_values);
}

PyObject* Labels(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  MetricObject& family = *Metric(self);
  if (PyTuple_GET_SIZE(family.label_names) == 0) {
    PyErr_Format(PyExc_ValueError, "No label names were set when constructing %S", self);
    return nullptr;
  }
  if (family.label_values != nullptr) {
    PyErr_Format(PyExc_ValueError, "%S already has labels set (%R); can not chain calls to .labels()", self,
                 family.label_values);
    return nullptr;
  }
  PyObject* label_values = LabelValues(family.label_names, args, nargs, kwnames);
  if (label_values == nullptr) return nullptr;
  PyObject* child = NewReference(PyDict_GetItemWithError(family.children, label_values));
  if (child != nullptr && !IsCurrent(*Metric(child)) && !MakeUsable(*Metric(child))) Py_CLEAR(child);
  if (child == nullptr && PyErr_Occurred() == nullptr && (family.segment != nullptr || BindToDefault(family))) {
    child = FindChild(family, self, label_values);
  }
  Py_DECREF(label_values);
  return child;
}

PyObject* Bind(PyObject* self, PyObject* segment) {
  if (!BindTo(*Metric(self), segment)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Str(PyObject* self) {
  return PyUnicode_FromFormat("%s:%U", TypeName(Metric(self)->type), Metric(self)->name);
}

// (label values: a tuple of str or None, which matches anything). How many series were removed.
PyObject* Remove(PyObject* self, PyObject* label_values) {
  MetricObject& metric = *Metric(self);
  if (!PyTuple_Check(label_values)) {
    PyErr_SetString(PyExc_TypeError, "label values must be a tuple");
    return nullptr;
  }
  std::vector<std::optional<std::string_view>> wanted;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(label_values); ++i) {
    PyObject* value = PyTuple_GET_ITEM(label_values, i);
    std::optional<std::string_view>& place = wanted.emplace_back();
    if (value == Py_None) continue;
    if (!PyUnicode_Check(value)) {
      PyErr_SetString(PyExc_TypeError, "label values must be str or None");
      return nullptr;
    }
    place = Utf8Of(value);
    if (!place) return nullptr;
  }
  if (metric.segment == nullptr && !BindToDefault(metric)) return nullptr;
  std::optional<Result<std::uint64_t>> removed;
  Py_BEGIN_ALLOW_THREADS removed = metric.family.Remove(wanted);
  Py_END_ALLOW_THREADS if (!removed->ok()) {
    SetPythonError(removed->error());
    return nullptr;
  }
  if (!DropRemovedChildren(metric)) return nullptr;
  return PyLong_FromUnsignedLongLong(removed->value());
}

}  // namespace reqtrail
