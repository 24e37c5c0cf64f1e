#include "pyext/metric_types.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/names.h"
#include "metrics/segment.h"
#include "pyext/metric_arguments.h"
#include "pyext/request_context.h"
#include "pyext/segment_object.h"

namespace reqtrail {
namespace {

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

MetricObject* Metric(PyObject* self) { return reinterpret_cast<MetricObject*>(self); }

PyObject* NewReference(PyObject* object) {
  Py_XINCREF(object);
  return object;
}

const char* TypeName(MetricType type) {
  if (type == MetricType::kGauge) return "gauge";
  return type == MetricType::kCounter ? "counter" : "histogram";
}

bool IsFamily(const MetricObject& metric) {
  return metric.label_values == nullptr && PyTuple_GET_SIZE(metric.label_names) > 0;
}

// Looks up the handle of a metric that is bound and has all its labels.
bool Attach(MetricObject& metric, const std::vector<std::string_view>& label_values) {
  metric.counter = metric.family.Counter(label_values);
  metric.gauge = metric.family.Gauge(label_values);
  metric.histogram = metric.family.Histogram(label_values);
  if (metric.counter || metric.gauge || metric.histogram) return true;
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

// What inc() and observe() need before they count: labels, and a segment.
bool MakeUsable(MetricObject& metric) {
  if (IsFamily(metric)) {
    PyErr_Format(PyExc_ValueError, "%s metric is missing label values", TypeName(metric.type));
    return false;
  }
  return BindToDefault(metric);
}

// Counts through `count`, which takes what is to be the exemplar: nothing, a request id or ExemplarLabels.
template <typename Count>
bool CountWithExemplar(PyObject* exemplar, Count count) {
  if (exemplar != nullptr) {
    const std::optional<ExemplarLabels> labels = ExemplarFrom(exemplar);
    if (!labels) return false;
    if (labels->packed().empty()) {
      count();
    } else {
      count(*labels);
    }
    return true;
  }
  PyObject* request_id = CurrentRequestId();
  if (request_id == nullptr) {
    count();
    return true;
  }
  const std::optional<std::string_view> text = Utf8Of(request_id);
  if (text) {
    count(*text);
  } else {
    PyErr_Clear();  // not an id; what is counted matters more than its exemplar
    count();
  }
  Py_DECREF(request_id);
  return true;
}

PyObject* Inc(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const auto parsed = ParseAmount(args, nargs, kwnames, true);
  if (!parsed) return nullptr;
  MetricObject& metric = *Metric(self);
  if (!metric.counter && !MakeUsable(metric)) return nullptr;
  if (!(parsed->amount >= 0)) {
    PyErr_SetString(PyExc_ValueError, "Counters can only be incremented by non-negative amounts.");
    return nullptr;
  }
  const auto count = [&](const auto&... exemplar) { metric.counter.Inc(parsed->amount, exemplar...); };
  if (!CountWithExemplar(parsed->exemplar, count)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Observe(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const auto parsed = ParseAmount(args, nargs, kwnames, false);
  if (!parsed) return nullptr;
  MetricObject& metric = *Metric(self);
  if (!metric.histogram && !MakeUsable(metric)) return nullptr;
  const auto count = [&](const auto&... exemplar) { metric.histogram.Observe(parsed->amount, exemplar...); };
  if (!CountWithExemplar(parsed->exemplar, count)) return nullptr;
  Py_RETURN_NONE;
}

// How a gauge's methods change it.
enum class GaugeChange : unsigned char { kSet, kInc, kDec };

template <GaugeChange change>
PyObject* ChangeGauge(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const auto parsed =
      ParseValue(args, nargs, kwnames, change == GaugeChange::kSet ? "value" : "amount", change != GaugeChange::kSet);
  if (!parsed) return nullptr;
  MetricObject& metric = *Metric(self);
  if (!metric.gauge && !MakeUsable(metric)) return nullptr;
  if constexpr (change == GaugeChange::kSet) {
    metric.gauge.Set(*parsed);
  } else {
    if (metric.gauge_mode == GaugeMode::kMostRecent || metric.gauge_mode == GaugeMode::kLiveMostRecent) {
      PyErr_Format(PyExc_RuntimeError, "%s must not be called with the mostrecent mode",
                   change == GaugeChange::kInc ? "inc" : "dec");
      return nullptr;
    }
    metric.gauge.Add(change == GaugeChange::kInc ? *parsed : -*parsed);
  }
  Py_RETURN_NONE;
}

PyObject* OwnValue(PyObject* self, PyObject* /*none*/) {
  MetricObject& metric = *Metric(self);
  if (!metric.gauge && !MakeUsable(metric)) return nullptr;
  return PyFloat_FromDouble(metric.gauge.Own());
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
  PyObject* kept = PyDict_SetDefault(family.children, label_values, child);
  Py_INCREF(kept);
  Py_DECREF(child);
  return kept;
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

std::optional<std::string> NameFault(const MetricObject& metric, const std::vector<std::string_view>& label_names) {
  const std::optional<std::string_view> name = Utf8Of(metric.name);
  if (!name) return std::nullopt;
  if (!IsMetricName(*name)) return "Invalid metric name: '" + std::string(*name) + "'";
  return LabelNamesFault(label_names, metric.type == MetricType::kHistogram ? "le" : "");
}

bool CheckDefinition(const MetricObject& metric) {
  const auto label_names = Utf8OfAll(metric.label_names);
  const auto bounds = label_names ? BoundsOf(metric.buckets) : std::nullopt;
  if (!bounds || !Utf8Of(metric.documentation)) return false;
  std::optional<std::string> fault = NameFault(metric, *label_names);
  if (!fault && metric.type == MetricType::kHistogram) fault = BoundsFault(*bounds);
  if (fault && PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_ValueError, fault->c_str());
  return PyErr_Occurred() == nullptr;
}

// (name, documentation, tuple of label names, tuple of upper bounds without +Inf, and for gauges the mode)
PyObject* New(PyTypeObject* type, MetricType metric_type, PyObject* args) {
  const char* mode_name = kGaugeModeNames[0].data();
  PyObject* name = nullptr;
  PyObject* documentation = nullptr;
  PyObject* label_names = nullptr;
  PyObject* buckets = nullptr;
  if (PyArg_ParseTuple(args, "UUO!O!|s", &name, &documentation, &PyTuple_Type, &label_names, &PyTuple_Type, &buckets,
                       &mode_name) == 0) {
    return nullptr;
  }
  const std::optional<GaugeMode> gauge_mode = GaugeModeFrom(mode_name);
  if (!gauge_mode) {
    PyErr_Format(PyExc_ValueError, "Invalid multiprocess mode: '%s'", mode_name);
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(label_names); ++i) {
    if (!PyUnicode_Check(PyTuple_GET_ITEM(label_names, i))) {
      PyErr_SetString(PyExc_TypeError, "label names must be str");
      return nullptr;
    }
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  MetricObject& metric = *Metric(self);
  metric.name = NewReference(name);
  metric.documentation = NewReference(documentation);
  metric.label_names = NewReference(label_names);
  metric.buckets = NewReference(buckets);
  metric.children = PyDict_New();
  metric.type = metric_type;
  metric.gauge_mode = *gauge_mode;
  if (metric.children != nullptr && CheckDefinition(metric)) return self;
  Py_DECREF(self);
  return nullptr;
}

PyObject* NewCounter(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  return New(type, MetricType::kCounter, args);
}

PyObject* NewGauge(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  return New(type, MetricType::kGauge, args);
}

PyObject* NewHistogram(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  return New(type, MetricType::kHistogram, args);
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const MetricObject& metric = *Metric(self);
  for (PyObject* part : {metric.name, metric.documentation, metric.label_names, metric.label_values, metric.buckets,
                         metric.segment, metric.children, metric.overflow}) {
    Py_VISIT(part);
  }
  return 0;
}

// The segment stays until the object goes: the handles point into it.
int Clear(PyObject* self) {
  if (Metric(self)->children != nullptr) PyDict_Clear(Metric(self)->children);
  Py_CLEAR(Metric(self)->overflow);
  return 0;
}

void Deallocate(PyObject* self) {
  PyObject_GC_UnTrack(self);
  PyTypeObject* type = Py_TYPE(self);
  Clear(self);
  const MetricObject& metric = *Metric(self);
  for (PyObject* part : {metric.name, metric.documentation, metric.label_names, metric.label_values, metric.buckets,
                         metric.segment, metric.children}) {
    Py_XDECREF(part);
  }
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef MethodOf(const char* name, PyObject* (*method)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method)), METH_FASTCALL | METH_KEYWORDS,
          nullptr};
}

bool AddType(PyObject* module, const char* name, newfunc make, PyMethodDef* methods) {
  static std::array<PyMemberDef, 4> members = {
      {{.name = "_name", .type = T_OBJECT, .offset = offsetof(MetricObject, name), .flags = READONLY, .doc = nullptr},
       {.name = "_labelnames",
        .type = T_OBJECT,
        .offset = offsetof(MetricObject, label_names),
        .flags = READONLY,
        .doc = nullptr},
       {.name = "_labelvalues",
        .type = T_OBJECT,
        .offset = offsetof(MetricObject, label_values),
        .flags = READONLY,
        .doc = nullptr},
       {}}};
  std::array<PyType_Slot, 9> slots = {{{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(make)},
                                       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
                                       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
                                       {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&Clear)},
                                       {.slot = Py_tp_str, .pfunc = reinterpret_cast<void*>(&Str)},
                                       {.slot = Py_tp_methods, .pfunc = methods},
                                       {.slot = Py_tp_members, .pfunc = members.data()},
                                       {}}};
  const std::string full_name = std::string("reqtrail._native.") + name;
  PyType_Spec spec = {full_name.c_str(), sizeof(MetricObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) return false;
  if (PyModule_AddObject(module, name, type) == 0) return true;
  Py_DECREF(type);
  return false;
}

}  // namespace

bool AddMetricTypes(PyObject* module) {
  static const PyMethodDef bind = {"_bind", &Bind, METH_O, nullptr};
  static const PyMethodDef own = {"_own_value", &OwnValue, METH_NOARGS, nullptr};
  static std::array<PyMethodDef, 4> counter_methods = {{MethodOf("inc", &Inc), MethodOf("labels", &Labels), bind, {}}};
  static std::array<PyMethodDef, 4> histogram_methods = {
      {MethodOf("observe", &Observe), MethodOf("labels", &Labels), bind, {}}};
  static std::array<PyMethodDef, 7> gauge_methods = {{MethodOf("set", &ChangeGauge<GaugeChange::kSet>),
                                                      MethodOf("inc", &ChangeGauge<GaugeChange::kInc>),
                                                      MethodOf("dec", &ChangeGauge<GaugeChange::kDec>),
                                                      MethodOf("labels", &Labels),
                                                      own,
                                                      bind,
                                                      {}}};
  return AddType(module, "Counter", &NewCounter, counter_methods.data()) &&
         AddType(module, "Gauge", &NewGauge, gauge_methods.data()) &&
         AddType(module, "Histogram", &NewHistogram, histogram_methods.data());
}

}  // namespace reqtrail
