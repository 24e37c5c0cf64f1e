#include "pyext/metric_types.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/names.h"
#include "pyext/metric_arguments.h"
#include "pyext/metric_object.h"
#include "pyext/request_context.h"

namespace reqtrail {
namespace {

// Counts through `count`, which takes what is to be the exemplar: nothing, a request id or ExemplarLabels.
template <typename Count>
bool CountWithExemplar(PyObject* exemplar, Count count) {
  if (exemplar != nullptr) {
    ExemplarLabels labels;
    if (!AddExemplar(exemplar, labels)) return false;
    if (labels.packed().empty()) {
      count();
    } else {
      count(labels);
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
  if (!metric.counter.IsCurrent() && !MakeUsable(metric)) return nullptr;
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
  if (!metric.histogram.IsCurrent() && !MakeUsable(metric)) return nullptr;
  const auto count = [&](const auto&... exemplar) { metric.histogram.Observe(parsed->amount, exemplar...); };
  if (!CountWithExemplar(parsed->exemplar, count)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* ObserveInSummary(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const auto value = ParseValue(args, nargs, kwnames, "amount", false);
  if (!value) return nullptr;
  MetricObject& metric = *Metric(self);
  if (!metric.histogram.IsCurrent() && !MakeUsable(metric)) return nullptr;
  metric.histogram.Observe(*value);
  Py_RETURN_NONE;
}

// (tuple of label values, dict of what the info says)
PyObject* SetInfo(PyObject* self, PyObject* args) {
  PyObject* label_values = nullptr;
  PyObject* says = nullptr;
  if (PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &label_values, &PyDict_Type, &says) == 0) return nullptr;
  const auto labels = Utf8OfAll(label_values);
  if (!labels) return nullptr;
  std::vector<Family::Pair> pairs;
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(says, &position, &key, &value) != 0) {
    const auto name = Utf8Of(key);
    const auto text = name ? Utf8Of(value) : std::nullopt;
    if (!text) return nullptr;
    if (!IsLabelName(*name)) {
      PyErr_Format(PyExc_ValueError, "Invalid label metric name: %R", key);
      return nullptr;
    }
    pairs.emplace_back(*name, *text);
  }
  const Result<bool> outcome = Metric(self)->family.SetInfo(*labels, pairs);
  if (outcome.ok()) Py_RETURN_NONE;
  SetPythonError(outcome.error());
  return nullptr;
}

// How a gauge's methods change it.
enum class GaugeChange : unsigned char { kSet, kInc, kDec };

template <GaugeChange change>
PyObject* ChangeGauge(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const auto parsed =
      ParseValue(args, nargs, kwnames, change == GaugeChange::kSet ? "value" : "amount", change != GaugeChange::kSet);
  if (!parsed) return nullptr;
  MetricObject& metric = *Metric(self);
  if (!metric.gauge.IsCurrent() && !MakeUsable(metric)) return nullptr;
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
  if (!metric.gauge.IsCurrent() && !MakeUsable(metric)) return nullptr;
  return PyFloat_FromDouble(metric.gauge.Own());
}

std::optional<std::string> NameFault(const MetricObject& metric, const std::vector<std::string_view>& label_names) {
  const std::optional<std::string_view> name = Utf8Of(metric.name);
  if (!name) return std::nullopt;
  if (!IsMetricName(*name)) return "Invalid metric name: '" + std::string(*name) + "'";
  return LabelNamesFault(label_names, ReservedLabel(metric.type));
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
PyObject* NewOfType(PyTypeObject* type, MetricType metric_type, PyObject* args) {
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

template <MetricType metric_type>
PyObject* New(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  return NewOfType(type, metric_type, args);
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

// `full_name` lives as long as the type: CPython 3.10 keeps no copy of it.
bool AddType(PyObject* module, const char* full_name, newfunc make, PyMethodDef* methods) {
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
  PyType_Spec spec = {full_name, sizeof(MetricObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                      slots.data()};
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) return false;
  if (PyModule_AddObject(module, std::strrchr(full_name, '.') + 1, type) == 0) return true;
  Py_DECREF(type);
  return false;
}

}  // namespace

bool AddMetricTypes(PyObject* module) {
  static const PyMethodDef bind = {"_bind", &Bind, METH_O, nullptr};
  static const PyMethodDef remove = {"_remove", &Remove, METH_O, nullptr};
  static const PyMethodDef own = {"_own_value", &OwnValue, METH_NOARGS, nullptr};
  static const PyMethodDef set_info = {"_set_info", &SetInfo, METH_VARARGS, nullptr};
  static const PyMethodDef labels = MethodOf("labels", &Labels);
  static const PyMethodDef set = MethodOf("set", &ChangeGauge<GaugeChange::kSet>);
  static const PyMethodDef inc = MethodOf("inc", &ChangeGauge<GaugeChange::kInc>);
  static const PyMethodDef dec = MethodOf("dec", &ChangeGauge<GaugeChange::kDec>);
  static std::array<PyMethodDef, 5> counter_methods = {{MethodOf("inc", &Inc), labels, bind, remove, {}}};
  static std::array<PyMethodDef, 5> histogram_methods = {{MethodOf("observe", &Observe), labels, bind, remove, {}}};
  static std::array<PyMethodDef, 5> summary_methods = {
      {MethodOf("observe", &ObserveInSummary), labels, bind, remove, {}}};
  static std::array<PyMethodDef, 8> gauge_methods = {{set, inc, dec, labels, own, bind, remove, {}}};
  static std::array<PyMethodDef, 6> state_set_methods = {{set, labels, own, bind, remove, {}}};
  static std::array<PyMethodDef, 4> info_methods = {{set_info, bind, remove, {}}};
  return AddType(module, "reqtrail._native.Counter", &New<MetricType::kCounter>, counter_methods.data()) &&
         AddType(module, "reqtrail._native.Gauge", &New<MetricType::kGauge>, gauge_methods.data()) &&
         AddType(module, "reqtrail._native.Histogram", &New<MetricType::kHistogram>, histogram_methods.data()) &&
         AddType(module, "reqtrail._native.Summary", &New<MetricType::kSummary>, summary_methods.data()) &&
         AddType(module, "reqtrail._native.Info", &New<MetricType::kInfo>, info_methods.data()) &&
         AddType(module, "reqtrail._native.StateSet", &New<MetricType::kStateSet>, state_set_methods.data());
}

bool AddToGauge(MetricObject& gauge, double amount) {
  if (!gauge.gauge.IsCurrent() && !MakeUsable(gauge)) return false;
  gauge.gauge.Add(amount);
  return true;
}

bool ObserveInRequest(MetricObject& histogram, double value) {
  if (!histogram.histogram.IsCurrent() && !MakeUsable(histogram)) return false;
  return CountWithExemplar(nullptr, [&](const auto&... exemplar) { histogram.histogram.Observe(value, exemplar...); });
}

}  // namespace reqtrail
