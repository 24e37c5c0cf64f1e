#include "pyext/request_recorder.h"

#include <new>
#include <string_view>

#include "pyext/asgi_names.h"
#include "pyext/asgi_send.h"
#include "pyext/instrument_fault.h"
#include "pyext/series_cache.h"

namespace reqtrail {

// Immutable after its constructor but for the cache.
struct Recorder {
  PyObject_HEAD PyObject* segment;  // keeps the memory of the metrics mapped
  PyObject* access_levels;  // dict of logging.Logger: level -> whether it is enabled, for the levels asked so far
  PyObject* info;           // logging.INFO
  PyObject* route_template;
  PyObject* on_error;
  PyObject* on_access;
  HttpMetrics metrics;
  SeriesCache cache;
};

namespace {

constexpr int kClientClosedRequest = 499;
constexpr int kInternalServerError = 500;
constexpr int kWebSocketInternalError = 1011;

PyTypeObject* recorder_type = nullptr;

Recorder* AsRecorder(PyObject* object) noexcept { return reinterpret_cast<Recorder*>(object); }

std::string_view TextView(PyObject* text) noexcept {
  Py_ssize_t size = 0;
  const char* utf8 = text == nullptr || !PyUnicode_Check(text) ? nullptr : PyUnicode_AsUTF8AndSize(text, &size);
  if (utf8 == nullptr) {
    PyErr_Clear();
    return {};
  }
  return {utf8, static_cast<std::size_t>(size)};
}

// Mounts lengthen the scope's root_path: the route's own path is then only the end of the template.
bool IsMounted(PyObject* scope, PyObject* root_path) noexcept {
  PyObject* now = DictItem(scope, Names().root_path);
  return now != root_path && TextView(now) != TextView(root_path);
}

// A new reference to a str; never nullptr without an error.
PyObject* RouteTemplate(Recorder* self, PyObject* scope, PyObject* root_path) {
  PyObject* made =
      PyObject_CallFunctionObjArgs(self->route_template, scope, root_path == nullptr ? Py_None : root_path, nullptr);
  if (made != nullptr && !PyUnicode_Check(made)) {
    PyErr_SetString(PyExc_TypeError, "the route template is not a str");
    Py_CLEAR(made);
  }
  return made;
}

// How a request ended, as far as it is known.
struct Ending {
  const char* method;  // from KnownMethod()
  int status;
  double seconds;
  std::string_view request_id;
};

void Remember(Recorder* self, const SeriesKey& key, const HttpSeries& series, PyObject* handler) noexcept {
  try {
    self->cache.Put(key, series, handler);
  } catch (const std::bad_alloc&) {
    return;  // the next request looks the series up again
  }
}

// Records the metrics and returns the route template: a new reference, or nullptr with an error.
PyObject* Measure(Recorder* self, PyObject* scope, PyObject* root_path, const Ending& ending) {
  PyObject* route = DictItem(scope, Names().route);
  PyObject* context = DictItem(DictItem(scope, Names().fastapi), Names().effective_route_context);
  const SeriesKey key{.route = route, .context = context, .method = ending.method, .status = ending.status};
  const bool cacheable = route != nullptr && !IsMounted(scope, root_path);
  if (cacheable) {
    if (const SeriesCache::Entry* entry = self->cache.Find(key)) {
      entry->series.Record(ending.seconds, ending.request_id);
      return Py_NewRef(entry->handler);
    }
  }
  PyObject* handler = RouteTemplate(self, scope, root_path);
  if (handler == nullptr) return nullptr;
  const HttpSeries series = self->metrics.Series(ending.method, TextView(handler), ending.status);
  series.Record(ending.seconds, ending.request_id);
  if (cacheable) Remember(self, key, series, handler);
  return handler;
}

void LogAccess(Recorder* self, PyObject* handler, const Ending& ending) {
  if (DictItem(self->access_levels, self->info) == Py_False) return;
  PyObject* result =
      PyObject_CallFunction(self->on_access, "sOid", ending.method, handler, ending.status, ending.seconds);
  if (result == nullptr) {
    ReportFault("access line");
    return;
  }
  Py_DECREF(result);
}

// Logs an unhandled exception. The type to count it under (a new reference), or None: it is no error of the server.
PyObject* LogError(Recorder* self, PyObject* error, PyObject* handler, const Ending& ending) {
  return PyObject_CallFunction(self->on_error, "OOsid", error, handler, ending.method, ending.status, ending.seconds);
}

void CountError(Recorder* self, PyObject* handler, int status, std::string_view type, std::string_view request_id) {
  self->metrics.CountError(TextView(handler), status, type, request_id);
}

// A 5xx that no exception of the application left behind: somebody answered it on purpose.
void CountHandledError(Recorder* self, const Exchange* exchange, PyObject* handler, const Ending& ending) {
  const bool seen = exchange->error_type != nullptr && exchange->handled_error != HandledError();
  const char* name = seen ? reinterpret_cast<PyTypeObject*>(exchange->error_type)->tp_name : "";
  std::string_view type(name);
  if (const std::size_t dot = type.rfind('.'); dot != std::string_view::npos) type.remove_prefix(dot + 1);
  const StatusText status(ending.status);
  CountError(self, handler, ending.status, seen ? type : status.view(), ending.request_id);
}

int StatusOf(const Exchange* exchange, PyObject* error) noexcept {
  if (exchange->status != 0) return exchange->status;
  // CancelledError, GeneratorExit: nobody waits for the answer. Otherwise the server answers for the application.
  const bool cancelled = error != nullptr && PyErr_GivenExceptionMatches(error, PyExc_Exception) == 0;
  return cancelled ? kClientClosedRequest : kInternalServerError;
}

void RecordHttp(Recorder* self, Exchange* exchange, PyObject* scope, PyObject* root_path, PyObject* error) {
  const std::int64_t ended_ns = exchange->ended_ns != 0 ? exchange->ended_ns : MonotonicNs();
  Ending ending{.method = KnownMethod(TextView(DictItem(scope, Names().method))),
                .status = StatusOf(exchange, error),
                .seconds = static_cast<double>(ended_ns - exchange->began_ns) * 1e-9,
                .request_id = TextView(exchange->id)};
  const bool raised = error != nullptr && PyErr_GivenExceptionMatches(error, PyExc_Exception) != 0;
  if (!raised) {
    PyObject* handler = Measure(self, scope, root_path, ending);
    if (handler == nullptr) {
      ReportFault("request metrics");
      return;
    }
    if (ending.status >= kInternalServerError) CountHandledError(self, exchange, handler, ending);
    LogAccess(self, handler, ending);
    Py_DECREF(handler);
    return;
  }
  PyObject* handler = RouteTemplate(self, scope, root_path);
  if (handler == nullptr) {
    ReportFault("route template");
    return;
  }
  PyObject* type = LogError(self, error, handler, ending);
  if (type == nullptr) {
    ReportFault("error line");
  } else if (type == Py_None) {
    ending.status = kClientClosedRequest;
  } else {
    CountError(self, handler, ending.status, TextView(type), ending.request_id);
  }
  Py_XDECREF(type);
  self->metrics.Series(ending.method, TextView(handler), ending.status).Record(ending.seconds, ending.request_id);
  LogAccess(self, handler, ending);
  Py_DECREF(handler);
}

void RecordWebSocket(Recorder* self, Exchange* exchange, PyObject* scope, PyObject* root_path, PyObject* error) {
  if (error == nullptr || PyErr_GivenExceptionMatches(error, PyExc_Exception) == 0) return;
  const Ending ending{.method = "WEBSOCKET",
                      .status = exchange->accepted ? kWebSocketInternalError : kInternalServerError,
                      .seconds = static_cast<double>(MonotonicNs() - exchange->began_ns) * 1e-9,
                      .request_id = TextView(exchange->id)};
  PyObject* handler = RouteTemplate(self, scope, root_path);
  if (handler == nullptr) {
    ReportFault("route template");
    return;
  }
  PyObject* type = LogError(self, error, handler, ending);
  if (type == nullptr) {
    ReportFault("error line");
  } else if (type != Py_None) {
    CountError(self, handler, ending.status, TextView(type), ending.request_id);
  }
  Py_XDECREF(type);
  Py_DECREF(handler);
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Recorder* self = AsRecorder(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->segment);
  Py_VISIT(self->access_levels);
  Py_VISIT(self->route_template);
  Py_VISIT(self->on_error);
  Py_VISIT(self->on_access);
  return self->cache.Traverse(visit, arg);
}

int Clear(PyObject* object) {
  AsRecorder(object)->cache.Clear();
  return 0;
}

void Dealloc(PyObject* object) {
  Recorder* self = AsRecorder(object);
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  self->cache.Clear();
  self->cache.~SeriesCache();
  Py_CLEAR(self->segment);
  Py_CLEAR(self->access_levels);
  Py_CLEAR(self->info);
  Py_CLEAR(self->route_template);
  Py_CLEAR(self->on_error);
  Py_CLEAR(self->on_access);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

void RecordRequest(Recorder* recorder, Exchange* exchange, PyObject* scope, PyObject* root_path,
                   PyObject* error) noexcept {
  if (exchange->websocket) {
    RecordWebSocket(recorder, exchange, scope, root_path, error);
  } else {
    RecordHttp(recorder, exchange, scope, root_path, error);
  }
  if (PyErr_Occurred()) ReportFault("request record");
}

void RecordRejectedId(Recorder* recorder) noexcept { recorder->metrics.CountRejectedId(); }

PyObject* MakeRecorder(PyObject* segment_object, Segment& segment, const RecorderOptions& options) {
  Result<HttpMetrics> metrics = HttpMetrics::Open(segment, options.errors_namespace);
  if (!metrics.ok()) {
    PyErr_SetString(PyExc_ValueError, metrics.error().message.c_str());
    return nullptr;
  }
  PyObject* info = PyLong_FromLong(20);
  Recorder* self = info == nullptr ? nullptr : AsRecorder(recorder_type->tp_alloc(recorder_type, 0));
  if (self == nullptr) {
    Py_XDECREF(info);
    return nullptr;
  }
  new (&self->metrics) HttpMetrics(metrics.value());
  new (&self->cache) SeriesCache();
  self->segment = Py_NewRef(segment_object);
  self->info = info;
  self->access_levels = Py_NewRef(options.access_levels);
  self->route_template = Py_NewRef(options.route_template);
  self->on_error = Py_NewRef(options.on_error);
  self->on_access = Py_NewRef(options.on_access);
  return reinterpret_cast<PyObject*>(self);
}

bool InitRecorderType() {
  if (recorder_type != nullptr) return true;
  static PyType_Slot slots[] = {
      {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(Clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
      {0, nullptr},
  };
  static PyType_Spec spec = {"reqtrail._native.Recorder", sizeof(Recorder), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  recorder_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return recorder_type != nullptr;
}

PyTypeObject* RecorderType() noexcept { return recorder_type; }

}  // namespace reqtrail
