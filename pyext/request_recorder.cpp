#include "pyext/request_recorder.h"

#include <new>
#include <string_view>
#include <utility>

#include "pyext/asgi_names.h"
#include "pyext/asgi_send.h"
#include "pyext/instrument_fault.h"

namespace reqtrail {

// Immutable after its constructor but for what `routes` remembers.
struct Recorder {
  PyObject_HEAD PyObject* segment;  // keeps the memory of the metrics mapped
  PyObject* is_skipped;             // or nullptr
  PyObject* is_cancellation;
  PyObject* on_error;
  int first_error_status;
  HttpMetrics metrics;
  RouteSeries routes;
  AccessLog access_log;
};

namespace {

constexpr int kClientClosedRequest = 499;
constexpr int kClientError = 400;
constexpr int kInternalServerError = 500;
constexpr int kWebSocketInternalError = 1011;
constexpr const char* kWebSocket = "WEBSOCKET";
constexpr const char* kHandled = "handled";  // in place of a status, which is not known yet

PyTypeObject* recorder_type = nullptr;

Recorder* AsRecorder(PyObject* object) noexcept { return reinterpret_cast<Recorder*>(object); }

const char* MethodOf(PyObject* scope) noexcept { return KnownMethod(TextView(DictItem(scope, Names().method))); }

double SecondsSince(std::int64_t began_ns, std::int64_t ended_ns) noexcept {
  return static_cast<double>(ended_ns - began_ns) / 1e9;  // 0.0042, not 0.004200000000000001
}

// Whether a callable of the package (not of the application) says yes to `argument`. Its faults are reported.
bool Asks(PyObject* callable, PyObject* argument, const char* where) noexcept {
  PyObject* answer = PyObject_CallOneArg(callable, argument);
  const int yes = answer == nullptr ? -1 : PyObject_IsTrue(answer);
  Py_XDECREF(answer);
  if (yes < 0) ReportFault(where);
  return yes == 1;
}

void LogAccess(Recorder* self, PyObject* endpoint, const Ending& ending) noexcept {
  self->access_log.Write(
      {.method = ending.method, .endpoint = endpoint, .status = ending.status, .seconds = ending.seconds});
}

// A class's name without its module. It lives as long as the class.
std::string_view ClassName(const PyTypeObject* type) noexcept {
  std::string_view name(type->tp_name);
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
  return name;
}

// Logs an unhandled exception and counts it, also where the line cannot be written. False: it is no error of the
// server.
bool TakeError(Recorder* self, const Exchange* exchange, PyObject* error, PyObject* endpoint, const Ending& ending) {
  PyObject* found_id = exchange->found_id == nullptr ? Py_None : exchange->found_id;
  PyObject* type = PyObject_CallFunction(self->on_error, "OOsidO", error, endpoint, ending.method, ending.status,
                                         ending.seconds, found_id);
  if (type == nullptr) ReportFault("error line");
  const bool is_error = type != Py_None;
  if (is_error) {
    const StatusText status(ending.status);
    const std::string_view name = type == nullptr ? ClassName(Py_TYPE(error)) : TextView(type);
    self->metrics.CountError(TextView(endpoint), status.view(), name, ending.request_id);
  }
  Py_XDECREF(type);
  return is_error;
}

// A status of an error that no exception of the application left behind: somebody answered it on purpose.
void CountHandledError(Recorder* self, const Exchange* exchange, PyObject* endpoint, const Ending& ending) {
  const bool seen = exchange->error_type != nullptr && exchange->handled_error != HandledError();
  const StatusText status(ending.status);
  const std::string_view type = seen ? ClassName(reinterpret_cast<PyTypeObject*>(exchange->error_type)) : status.view();
  self->metrics.CountError(TextView(endpoint), status.view(), type, ending.request_id);
}

int StatusOf(const Exchange* exchange, bool cancelled) noexcept {
  if (exchange->status != 0) return exchange->status;
  // Nobody waits for the answer. Otherwise the server answers for the application.
  return cancelled ? kClientClosedRequest : kInternalServerError;
}

void RecordRaised(Recorder* self, const Exchange* exchange, const Routed& routed, PyObject* error, Ending ending) {
  PyObject* endpoint = self->routes.Template(routed);
  if (endpoint == nullptr) {
    ReportFault("route template");
    return;
  }
  if (!TakeError(self, exchange, error, endpoint, ending)) ending.status = kClientClosedRequest;
  if (exchange->is_recorded) {
    bool excluded = false;
    if (!self->routes.RecordUnder(endpoint, ending, &excluded)) ReportFault("request metrics");
    if (!excluded) LogAccess(self, endpoint, ending);
  }
  Py_DECREF(endpoint);
}

void RecordAnswered(Recorder* self, const Exchange* exchange, const Routed& routed, const Ending& ending) {
  const bool is_error = ending.status >= self->first_error_status && ending.status != kClientClosedRequest;
  bool hidden = !exchange->is_recorded;
  if (hidden && !is_error) return;
  PyObject* endpoint = hidden ? self->routes.Template(routed) : self->routes.Record(routed, ending, &hidden);
  if (endpoint == nullptr) {
    ReportFault("request metrics");
    return;
  }
  if (is_error) CountHandledError(self, exchange, endpoint, ending);
  if (!hidden) LogAccess(self, endpoint, ending);
  Py_DECREF(endpoint);
}

// Whether an exception only says that nobody waits for the request any more.
bool IsCancellation(const Recorder* self, PyObject* error) noexcept {
  return error != nullptr && PyErr_GivenExceptionMatches(error, PyExc_Exception) == 0 &&
         Asks(self->is_cancellation, error, "cancellation");
}

void RecordHttp(Recorder* self, const Exchange* exchange, const Routed& routed, PyObject* error) {
  const bool cancelled = IsCancellation(self, error);
  const std::int64_t ended_ns = exchange->ended_ns != 0 ? exchange->ended_ns : MonotonicNs();
  const Ending ending{.method = MethodOf(routed.scope),
                      .status = StatusOf(exchange, cancelled),
                      .seconds = SecondsSince(exchange->began_ns, ended_ns),
                      .request_id = TextView(exchange->id)};
  if (error != nullptr && !cancelled) {
    RecordRaised(self, exchange, routed, error, ending);
  } else {
    RecordAnswered(self, exchange, routed, ending);
  }
}

void RecordWebSocket(Recorder* self, const Exchange* exchange, const Routed& routed, PyObject* error) {
  if (error == nullptr || IsCancellation(self, error)) return;
  const Ending ending{.method = kWebSocket,
                      .status = exchange->accepted ? kWebSocketInternalError : kInternalServerError,
                      .seconds = SecondsSince(exchange->began_ns, MonotonicNs()),
                      .request_id = TextView(exchange->id)};
  PyObject* endpoint = self->routes.Template(routed);
  if (endpoint == nullptr) {
    ReportFault("route template");
    return;
  }
  (void)TakeError(self, exchange, error, endpoint, ending);
  Py_DECREF(endpoint);
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Recorder* self = AsRecorder(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->segment);
  Py_VISIT(self->is_skipped);
  Py_VISIT(self->is_cancellation);
  Py_VISIT(self->on_error);
  if (const int stop = self->access_log.Traverse(visit, arg); stop != 0) return stop;
  return self->routes.Traverse(visit, arg);
}

int Clear(PyObject* object) {
  AsRecorder(object)->routes.Clear();
  return 0;
}

void Dealloc(PyObject* object) {
  Recorder* self = AsRecorder(object);
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  self->routes.~RouteSeries();
  self->access_log.~AccessLog();
  Py_CLEAR(self->segment);
  Py_CLEAR(self->is_skipped);
  Py_CLEAR(self->is_cancellation);
  Py_CLEAR(self->on_error);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

void RecordBegin(Recorder* recorder, Exchange* exchange, PyObject* scope, bool rejected_id) noexcept {
  if (rejected_id) recorder->metrics.CountRejectedId();
  exchange->websocket = IsName(TypeItem(scope), Names().websocket);
  exchange->is_recorded = !exchange->websocket;
  if (recorder->is_skipped != nullptr && exchange->is_recorded) {
    PyObject* path = DictItem(scope, Names().path);
    exchange->is_recorded = path == nullptr || !Asks(recorder->is_skipped, path, "skip_paths");
  }
  exchange->is_watched = exchange->is_recorded && recorder->metrics.HasInProgress();
  exchange->began_ns = MonotonicNs();
}

void RecordSuspension(Recorder* recorder, Exchange* exchange, const Routed& routed) noexcept {
  const bool is_routed = RouteSeries::IsRouted(routed.scope);
  if (exchange->inprogress && !is_routed) return;
  const GaugeHandle gauge = recorder->routes.CountIn(routed, is_routed, MethodOf(routed.scope));
  exchange->inprogress.Add(-1);
  exchange->inprogress = gauge;
  exchange->is_watched = !is_routed;
  if (PyErr_Occurred()) ReportFault("requests in progress");
}

void RecordRequest(Recorder* recorder, Exchange* exchange, const Routed& routed, PyObject* error) noexcept {
  exchange->inprogress.Add(-1);
  if (exchange->websocket) {
    RecordWebSocket(recorder, exchange, routed, error);
  } else {
    RecordHttp(recorder, exchange, routed, error);
  }
  if (PyErr_Occurred()) ReportFault("request record");
}

PyObject* RecordCaptured(Recorder* recorder, const Exchange* exchange, const Routed& routed, const char* error_type) {
  PyObject* endpoint = recorder->routes.Template(routed);
  if (endpoint == nullptr) return nullptr;
  recorder->metrics.CountError(TextView(endpoint), kHandled, error_type, TextView(exchange->id));
  PyObject* place = Py_BuildValue("(sN)", exchange->websocket ? kWebSocket : MethodOf(routed.scope), endpoint);
  return place;
}

bool IsErrorStatus(const Recorder* recorder, int status) noexcept { return status >= recorder->first_error_status; }

PyObject* MakeRecorder(PyObject* segment_object, Segment& segment, const RecorderOptions& options) {
  Result<HttpMetrics> metrics = HttpMetrics::Open(segment, options.metrics);
  if (!metrics.ok()) {
    PyErr_SetString(PyExc_ValueError, metrics.error().message.c_str());
    return nullptr;
  }
  AccessLog access_log(options.access);
  Recorder* self = AsRecorder(recorder_type->tp_alloc(recorder_type, 0));
  if (self == nullptr) return nullptr;
  new (&self->metrics) HttpMetrics(metrics.value());
  new (&self->routes) RouteSeries(metrics.value(), options.route_template, options.is_excluded);
  new (&self->access_log) AccessLog(std::move(access_log));
  self->segment = Py_NewRef(segment_object);
  self->first_error_status = options.count_4xx ? kClientError : kInternalServerError;
  self->is_skipped = options.is_skipped == Py_None ? nullptr : Py_NewRef(options.is_skipped);
  self->is_cancellation = Py_NewRef(options.is_cancellation);
  self->on_error = Py_NewRef(options.on_error);
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
