#include "worker_hooks/task_hooks.h"

#include <ctime>

#include <array>
#include <cmath>
#include <new>
#include <optional>
#include <string_view>

#include "worker_hooks/direct_send.h"
#include "worker_hooks/followed_apps.h"
#include "worker_hooks/owned.h"
#include "worker_hooks/task_metrics.h"
#include "worker_hooks/task_names.h"
#include "worker_hooks/task_request.h"
#include "worker_hooks/task_request_id.h"
#include "worker_hooks/task_traceparent.h"

namespace reqtrail {
namespace {

struct TaskHooks {
  PyObject_HEAD PyObject* open_segment;
  PyObject* due;
  PyObject* on_started;
  PyObject* on_ended;
  PyObject* levels;
  PyObject* segment;  // keeps the memory of the metrics mapped; nullptr until they are bound
  FollowedApps apps;
  TaskMetrics metrics;
};

TaskHooksHost the_host{};
PyObject* debug_level = nullptr;
PyObject* info_level = nullptr;

TaskHooks* Hooks(PyObject* object) noexcept { return reinterpret_cast<TaskHooks*>(object); }

// ---- which applications ----

PyObject* Follow(PyObject* object, PyObject* app) {
  if (!Hooks(object)->apps.Add(app)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Unfollow(PyObject* object, PyObject* app) {
  if (!Hooks(object)->apps.Remove(app)) return nullptr;
  return PyBool_FromLong(Hooks(object)->apps.IsEmpty() ? 0 : 1);
}

PyObject* Follows(PyObject* object, PyObject* app) { return PyBool_FromLong(Hooks(object)->apps.Has(app) ? 1 : 0); }

// ---- metrics ----

PyObject* Bind(PyObject* object, PyObject* segment_object) {
  TaskHooks* self = Hooks(object);
  Segment* segment = the_host.segment_of(segment_object);
  if (segment == nullptr) return nullptr;
  const Result<TaskMetrics> metrics = TaskMetrics::Open(*segment);
  if (!metrics.ok()) {
    PyErr_SetString(PyExc_ValueError, metrics.error().message.c_str());
    return nullptr;
  }
  self->metrics = metrics.value();
  Py_XSETREF(self->segment, Py_NewRef(segment_object));
  Py_RETURN_NONE;
}

// Whether the metrics may be used. A fault is reported.
bool IsBound(TaskHooks* self) noexcept {
  if (self->segment != nullptr) return true;
  const Owned opened(PyObject_CallNoArgs(self->open_segment));
  if (opened && self->segment == nullptr) Owned(Bind(reinterpret_cast<PyObject*>(self), opened.get()));
  if (PyErr_Occurred() != nullptr) the_host.report_fault("celery task metrics");
  return self->segment != nullptr;
}

double UnixSeconds() noexcept {
  timespec now{};
  (void)::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + (static_cast<double>(now.tv_nsec) * 1e-9);
}

// When a task may start, in Unix time: 0 without an ETA; nothing where the ETA cannot be read.
std::optional<double> Due(const TaskHooks* self, const TaskRequest& request) noexcept {
  PyObject* eta = request.Field(TaskName().eta);
  if (eta == nullptr) return 0;
  const Owned due(PyObject_CallOneArg(self->due, eta));
  if (due && PyFloat_Check(due.get())) return PyFloat_AS_DOUBLE(due.get());
  if (!due) the_host.report_fault("celery task ETA");
  return std::nullopt;
}

// How long the message waited. Nothing where that is unknown: no time in it, a redelivery, an eager task.
std::optional<double> Waited(const TaskHooks* self, const TaskRequest& request) noexcept {
  PyObject* published_at = request.Header(TaskName().published_at);
  if (published_at == nullptr || !PyFloat_CheckExact(published_at)) return std::nullopt;
  const double published = PyFloat_AS_DOUBLE(published_at);
  if (!std::isfinite(published) || request.IsEager()) return std::nullopt;
  if (ItemOf(request.Field(TaskName().delivery_info), TaskName().redelivered) == Py_True) return std::nullopt;
  const std::optional<double> due = Due(self, request);
  if (!due) return std::nullopt;
  return UnixSeconds() - std::max(published, *due);
}

// A task's name and queue as labels. `task` is a Task.
class Labels {
 public:
  Labels(PyObject* task, const TaskRequest& request) noexcept
      : name_(PyObject_GetAttr(task, TaskName().name)), labels_{.task = TextOf(name_.get()), .queue = request.Queue()} {
    if (!name_) PyErr_Clear();
  }
  [[nodiscard]] const TaskLabels& get() const noexcept { return labels_; }

 private:
  Owned name_;
  TaskLabels labels_;
};

std::string_view TypeNameOf(PyObject* error) noexcept {
  std::string_view name(error == nullptr ? "" : Py_TYPE(error)->tp_name);
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
  return name;
}

// `seconds` is nothing where the task did not run, or its process was killed.
void CountEnd(TaskHooks* self, PyObject* task, const TaskRequest& request, std::string_view state, PyObject* result,
              std::optional<double> seconds) noexcept {
  const Labels labels(task, request);
  const Owned id(CurrentId());
  const std::string_view request_id = TextOf(id.get());
  self->metrics.CountEnd(labels.get(), state, TypeNameOf(result), request_id);
  if (seconds) self->metrics.ObserveDuration(labels.get(), *seconds, request_id);
}

// ---- log lines ----

// False where it is known that no line of this level is written.
bool MayBeLogged(const TaskHooks* self, PyObject* level) noexcept { return ItemOf(self->levels, level) != Py_False; }

struct TaskEnd {
  PyObject* task_id;
  PyObject* state;
  PyObject* result;
  std::optional<double> seconds;
};

Owned FloatOrNone(std::optional<double> number) noexcept {
  return Owned(number ? PyFloat_FromDouble(*number) : Py_NewRef(Py_None));
}

void LogEnd(const TaskHooks* self, PyObject* task, const TaskRequest& request, const TaskEnd& end) noexcept {
  if (TextOf(end.state) != "FAILURE" && !MayBeLogged(self, info_level)) return;
  const std::optional<double> due = Due(self, request);
  const Owned eta = FloatOrNone(due && *due != 0 ? due : std::nullopt);
  const Owned duration = FloatOrNone(end.seconds);
  const Owned logged(eta && duration ? PyObject_CallFunctionObjArgs(self->on_ended, task, end.task_id, end.state,
                                                                    end.result, duration.get(), eta.get(), nullptr)
                                     : nullptr);
  if (!logged) the_host.report_fault("celery task line");
}

// ---- receivers ----

// The named arguments of a call.
class Named {
 public:
  Named(PyObject* const* values, PyObject* names) noexcept : values_(values), names_(names) {}

  /// Borrowed; nullptr where there is none, and for None.
  [[nodiscard]] PyObject* Get(PyObject* name) const noexcept {
    const Py_ssize_t index = Find(name);
    return index < 0 || values_[index] == Py_None ? nullptr : values_[index];
  }

 private:
  [[nodiscard]] Py_ssize_t Find(PyObject* name) const noexcept {
    const Py_ssize_t count = names_ == nullptr ? 0 : PyTuple_GET_SIZE(names_);
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (PyTuple_GET_ITEM(names_, i) == name) return i;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (PyUnicode_Compare(PyTuple_GET_ITEM(names_, i), name) == 0) return i;
    }
    return -1;
  }

  PyObject* const* values_;
  PyObject* names_;
};

void Publish(TaskHooks* /*self*/, const Named& named) noexcept {
  PyObject* headers = named.Get(TaskName().headers);
  const bool is_injected = InjectRequestId(headers) && InjectTraceparent(headers);
  const Owned now(is_injected ? PyFloat_FromDouble(UnixSeconds()) : nullptr);
  if (!now || PyDict_SetItem(headers, TaskName().published_at, now.get()) < 0) the_host.report_fault("celery publish");
}

void Published(TaskHooks* self, const Named& named) noexcept {
  if (!IsBound(self)) return;
  const TaskLabels labels{.task = TextOf(named.Get(TaskName().sender)),
                          .queue = TextOf(named.Get(TaskName().routing_key))};
  self->metrics.CountSent(labels, TextOf(ItemOf(named.Get(TaskName().headers), TaskName().request_id)));
}

void MeasureStart(TaskHooks* self, PyObject* task, const TaskRequest& request, bool had_bad_id) noexcept {
  if (!IsBound(self)) return;
  if (had_bad_id) self->metrics.CountRejectedId();
  if (!request.IsEager()) self->metrics.AddRunning(1);
  const std::optional<double> waited = Waited(self, request);
  if (!waited) return;
  const Owned id(CurrentId());
  self->metrics.ObserveWait(Labels(task, request).get(), *waited, TextOf(id.get()));
}

void Prerun(TaskHooks* self, const Named& named) noexcept {
  PyObject* task = named.Get(TaskName().task);
  const Owned app(task == nullptr ? nullptr : PyObject_GetAttr(task, TaskName().app));
  if (app && !self->apps.Has(app.get())) return;
  const Owned context(app ? PyObject_GetAttr(task, TaskName().request) : nullptr);
  const std::optional<bool> had_bad_id = context ? EnterTask(context.get()) : std::nullopt;
  if (!had_bad_id) {
    the_host.report_fault("celery task start");
    return;
  }
  MeasureStart(self, task, TaskRequest(context.get()), *had_bad_id);
  if (!MayBeLogged(self, debug_level)) return;
  const Owned logged(PyObject_CallFunctionObjArgs(self->on_started, task, context.get(), nullptr));
  if (!logged) the_host.report_fault("celery task line");
}

void Postrun(TaskHooks* self, const Named& named) noexcept {
  PyObject* task = named.Get(TaskName().task);
  PyObject* task_id = named.Get(TaskName().task_id);
  const std::optional<RunningTask> running = FindRunningTask(task_id);
  if (!running || task == nullptr) return;  // not followed, or its start was a fault that is told
  if (IsBound(self) && !running->request.IsEager()) self->metrics.AddRunning(-1);
  // Without a state the process is being ended, and the main process tells why.
  if (PyObject* state = named.Get(TaskName().state)) {
    PyObject* result = named.Get(TaskName().result);
    if (IsBound(self)) CountEnd(self, task, running->request, TextOf(state), result, running->seconds);
    LogEnd(self, task, running->request,
           {.task_id = task_id,
            .state = state,
            .result = result == nullptr ? Py_None : result,
            .seconds = running->seconds});
  }
  if (!LeaveTask()) the_host.report_fault("celery task end");
}

template <void (*receive)(TaskHooks*, const Named&) noexcept>
PyObject* Receiver(PyObject* object, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  receive(Hooks(object), Named(args + nargs, kwnames));
  Py_RETURN_NONE;
}

// ---- what the main process tells ----

PyObject* TellEnd(PyObject* object, PyObject* args) {
  TaskHooks* self = Hooks(object);
  PyObject* task = nullptr;
  PyObject* task_id = nullptr;
  PyObject* context = nullptr;
  PyObject* state = nullptr;
  PyObject* result = nullptr;
  if (PyArg_ParseTuple(args, "OOOUO:tell_end", &task, &task_id, &context, &state, &result) == 0) return nullptr;
  if (!EnterTask(context)) return nullptr;
  const TaskRequest request(context);
  if (IsBound(self)) CountEnd(self, task, request, TextOf(state), result, std::nullopt);
  LogEnd(self, task, request, {.task_id = task_id, .state = state, .result = result, .seconds = std::nullopt});
  if (!LeaveTask()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* WorkerIsUp(PyObject* object, PyObject* args) {
  PyObject* hostname = nullptr;
  int is_up = 0;
  if (PyArg_ParseTuple(args, "Up:worker_is_up", &hostname, &is_up) == 0) return nullptr;
  if (IsBound(Hooks(object))) Hooks(object)->metrics.AddWorker(TextOf(hostname), is_up != 0);
  Py_RETURN_NONE;
}

PyObject* QueueDepth(PyObject* object, PyObject* args) {
  PyObject* queue = nullptr;
  PyObject* messages = nullptr;
  if (PyArg_ParseTuple(args, "UO:queue_depth", &queue, &messages) == 0) return nullptr;
  const double depth = messages == Py_None ? 0 : PyFloat_AsDouble(messages);
  if (PyErr_Occurred() != nullptr) return nullptr;
  if (!IsBound(Hooks(object))) Py_RETURN_NONE;
  if (messages == Py_None) {
    Hooks(object)->metrics.ForgetQueueDepth(TextOf(queue));
  } else {
    Hooks(object)->metrics.SetQueueDepth(TextOf(queue), depth);
  }
  Py_RETURN_NONE;
}

// ---- the type ----

PyObject* New(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  // Not const: Python takes them so.
  static std::array<char*, 6> keywords = {const_cast<char*>("open_segment"), const_cast<char*>("due"),
                                          const_cast<char*>("on_started"),   const_cast<char*>("on_ended"),
                                          const_cast<char*>("levels"),       nullptr};
  PyObject* open_segment = nullptr;
  PyObject* due = nullptr;
  PyObject* on_started = nullptr;
  PyObject* on_ended = nullptr;
  PyObject* levels = nullptr;
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "$OOOOO!:TaskHooks", keywords.data(), &open_segment, &due, &on_started,
                                  &on_ended, &PyDict_Type, &levels) == 0) {
    return nullptr;
  }
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  TaskHooks* self = Hooks(object);
  new (&self->apps) FollowedApps();
  new (&self->metrics) TaskMetrics();
  self->open_segment = Py_NewRef(open_segment);
  self->due = Py_NewRef(due);
  self->on_started = Py_NewRef(on_started);
  self->on_ended = Py_NewRef(on_ended);
  self->levels = Py_NewRef(levels);
  return object;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  const TaskHooks* self = Hooks(object);
  Py_VISIT(Py_TYPE(object));
  for (PyObject* part :
       {self->open_segment, self->due, self->on_started, self->on_ended, self->levels, self->segment}) {
    Py_VISIT(part);
  }
  return 0;
}

// Without tp_clear: a cycle through a callable ends at that callable's own globals.
void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  TaskHooks* self = Hooks(object);
  self->metrics.~TaskMetrics();
  self->apps.~FollowedApps();
  for (PyObject* part :
       {self->open_segment, self->due, self->on_started, self->on_ended, self->levels, self->segment}) {
    Py_XDECREF(part);
  }
  type->tp_free(object);
  Py_DECREF(type);
}

PyMethodDef ReceiverOf(const char* name, const char* doc,
                       PyObject* (*receiver)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  // Celery asks a receiver for its signature, to see that it takes what named arguments come.
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(receiver)), METH_FASTCALL | METH_KEYWORDS,
          doc};
}

PyMethodDef MethodOf(const char* name, PyCFunction method, int flags) { return {name, method, flags, nullptr}; }

bool AddType(PyObject* module) {
  static std::array<PyMethodDef, 12> methods = {{
      ReceiverOf("on_publish", "on_publish($self, /, **named)\n--\n\nBefore a publish.", &Receiver<Publish>),
      ReceiverOf("on_published", "on_published($self, /, **named)\n--\n\nAfter a publish.", &Receiver<Published>),
      ReceiverOf("on_prerun", "on_prerun($self, /, **named)\n--\n\nBefore a task runs.", &Receiver<Prerun>),
      ReceiverOf("on_postrun", "on_postrun($self, /, **named)\n--\n\nAfter a task ran.", &Receiver<Postrun>),
      MethodOf("follow", &Follow, METH_O),
      MethodOf("unfollow", &Unfollow, METH_O),
      MethodOf("follows", &Follows, METH_O),
      MethodOf("tell_end", &TellEnd, METH_VARARGS),
      MethodOf("worker_is_up", &WorkerIsUp, METH_VARARGS),
      MethodOf("queue_depth", &QueueDepth, METH_VARARGS),
      MethodOf("_bind", &Bind, METH_O),
      {},
  }};
  static std::array<PyType_Slot, 5> slots = {{{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&New)},
                                              {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
                                              {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
                                              {.slot = Py_tp_methods, .pfunc = methods.data()},
                                              {}}};
  static PyType_Spec spec = {"reqtrail._native.TaskHooks", sizeof(TaskHooks), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots.data()};
  const Owned type(PyType_FromSpec(&spec));
  return type && PyModule_AddObjectRef(module, "TaskHooks", type.get()) == 0;
}

}  // namespace

bool AddTaskHooks(PyObject* module, const TaskHooksHost& host) {
  the_host = host;
  InitTaskTraceparent(host.traceparent_var);
  debug_level = PyLong_FromLong(10);
  info_level = PyLong_FromLong(20);
  return debug_level != nullptr && info_level != nullptr && AddTaskRequestId(module, host.request_id_var) &&
         AddType(module) && AddDirectSend(module);
}

}  // namespace reqtrail
