#include "pyext/route_series.h"

#include <new>

#include "pyext/ascii_text.h"
#include "pyext/asgi_names.h"

namespace reqtrail {
namespace {

// Mounts lengthen the scope's root_path: the route's own path is then only the end of the template.
bool IsMounted(const Routed& routed) noexcept {
  PyObject* now = DictItem(routed.scope, Names().root_path);
  return now != routed.root_path && TextView(now) != TextView(routed.root_path);
}

SeriesKey KeyOf(const Routed& routed, const char* method, int status) noexcept {
  return {.route = DictItem(routed.scope, Names().route),
          .context = DictItem(DictItem(routed.scope, Names().fastapi), Names().effective_route_context),
          .method = method,
          .status = status};
}

template <typename Series>
void Remember(SeriesCache<Series>& cache, const SeriesKey& key, const Series& series, PyObject* handler) noexcept {
  try {
    cache.Put(key, series, handler);
  } catch (const std::bad_alloc&) {
    return;  // the next request looks the series up again
  }
}

}  // namespace

std::string_view TextView(PyObject* text) noexcept {
  if (text != nullptr && PyUnicode_Check(text) && PyUnicode_IS_COMPACT_ASCII(text)) return AsciiView(text);
  Py_ssize_t size = 0;
  const char* utf8 = text == nullptr || !PyUnicode_Check(text) ? nullptr : PyUnicode_AsUTF8AndSize(text, &size);
  if (utf8 == nullptr) {
    PyErr_Clear();
    return {};
  }
  return {utf8, static_cast<std::size_t>(size)};
}

RouteSeries::RouteSeries(const HttpMetrics& metrics, PyObject* route_template, PyObject* is_excluded) noexcept
    : metrics_(metrics),
      route_template_(Py_NewRef(route_template)),
      is_excluded_(is_excluded == Py_None ? nullptr : Py_NewRef(is_excluded)) {}

RouteSeries::~RouteSeries() {
  Clear();
  Py_XDECREF(route_template_);
  Py_XDECREF(is_excluded_);
}

PyObject* RouteSeries::Template(const Routed& routed) const {
  PyObject* root_path = routed.root_path == nullptr ? Py_None : routed.root_path;
  PyObject* made = PyObject_CallFunctionObjArgs(route_template_, routed.scope, root_path, nullptr);
  if (made != nullptr && !PyUnicode_Check(made)) {
    PyErr_SetString(PyExc_TypeError, "the route template is not a str");
    Py_CLEAR(made);
  }
  return made;
}

int RouteSeries::IsExcluded(PyObject* handler) const {
  if (is_excluded_ == nullptr) return 0;
  PyObject* answer = PyObject_CallOneArg(is_excluded_, handler);
  if (answer == nullptr) return -1;
  const int excluded = PyObject_IsTrue(answer);
  Py_DECREF(answer);
  return excluded;
}

PyObject* RouteSeries::Record(const Routed& routed, const Ending& ending, bool* excluded) {
  const SeriesKey key = KeyOf(routed, ending.method, ending.status);
  const bool cacheable = key.route != nullptr && !IsMounted(routed);
  if (cacheable) {
    if (const auto* entry = ended_.Find(key)) {
      *excluded = entry->series.excluded;
      entry->series.series.Record(ending.seconds, ending.request_id);
      return Py_NewRef(entry->handler);
    }
  }
  PyObject* handler = Template(routed);
  const int is_excluded = handler == nullptr ? -1 : IsExcluded(handler);
  if (is_excluded < 0) {
    Py_XDECREF(handler);
    return nullptr;
  }
  *excluded = is_excluded == 1;
  Ended ended{.series = {}, .excluded = *excluded};
  if (!ended.excluded) ended.series = metrics_.Series(ending.method, TextView(handler), ending.status);
  ended.series.Record(ending.seconds, ending.request_id);
  if (cacheable) Remember(ended_, key, ended, handler);
  return handler;
}

bool RouteSeries::RecordUnder(PyObject* handler, const Ending& ending, bool* excluded) const {
  const int is_excluded = IsExcluded(handler);
  if (is_excluded < 0) return false;
  *excluded = is_excluded == 1;
  if (!*excluded) {
    metrics_.Series(ending.method, TextView(handler), ending.status).Record(ending.seconds, ending.request_id);
  }
  return true;
}

GaugeHandle RouteSeries::CountIn(const Routed& routed, bool is_routed, const char* method) {
  const SeriesKey key = KeyOf(routed, method, 0);
  const bool cacheable = !is_routed || (key.route != nullptr && !IsMounted(routed));
  if (cacheable) {
    if (const auto* entry = running_.Find(key)) {
      entry->series.Add(1);
      return entry->series;
    }
  }
  PyObject* handler = Template(routed);
  const int is_excluded = handler == nullptr ? -1 : IsExcluded(handler);
  GaugeHandle gauge;
  if (is_excluded == 0) gauge = metrics_.InProgress(method, TextView(handler));
  gauge.Add(1);
  if (cacheable && is_excluded >= 0) Remember(running_, key, gauge, handler);
  Py_XDECREF(handler);
  return gauge;
}

bool RouteSeries::IsRouted(PyObject* scope) noexcept {
  return DictItem(scope, Names().route) != nullptr || DictItem(scope, Names().endpoint) != nullptr;
}

int RouteSeries::Traverse(visitproc visit, void* arg) const {
  Py_VISIT(route_template_);
  Py_VISIT(is_excluded_);
  const int visited = ended_.Traverse(visit, arg);
  return visited != 0 ? visited : running_.Traverse(visit, arg);
}

void RouteSeries::Clear() noexcept {
  ended_.Clear();
  running_.Clear();
}

}  // namespace reqtrail
