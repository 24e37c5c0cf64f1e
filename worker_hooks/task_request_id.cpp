#include "worker_hooks/task_request_id.h"

#include <chrono>
#include <utility>

#include "core/id_generator.h"
#include "core/request_id.h"
#include "worker_hooks/context_value.h"
#include "worker_hooks/task_traceparent.h"

namespace reqtrail {
namespace {

PyObject* request_id_var = nullptr;
PyObject* run_var = nullptr;  // the innermost running task: a tuple of RunField

/// What is noted of a running task.
enum RunField : unsigned char {
  kAround,   ///< the note of the task that it runs in, or None
  kIdToken,  ///< of request_id_var
  kTrace,    ///< of EnterTrace
  kBegan,    ///< MonotonicSeconds
  kContext,  ///< its celery.app.task.Context
};

bool IsUsable(PyObject* id) noexcept { return IsRequestId(TextOf(id)); }

/// A new reference to a borrowed `id`, if it is one.
Owned IfUsable(PyObject* id) noexcept { return Owned(IsUsable(id) ? Py_NewRef(id) : nullptr); }

Owned NewId() noexcept {
  const UuidText id = GenerateUuid4();
  return Owned(PyUnicode_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size())));
}

/// The id that came with the message.
Owned IdOfMessage(const TaskRequest& request) noexcept {
  Owned id = IfUsable(request.Field(TaskName().request_id));
  return id ? std::move(id) : IfUsable(ItemOf(request.Field(TaskName().headers), TaskName().request_id));
}

Owned IdOfTask(const TaskRequest& request) noexcept {
  Owned id = IdOfMessage(request);
  if (!id) id = TraceIdOf(request.Header(TaskName().traceparent));
  if (!id) id = IfUsable(request.Field(TaskName().root_id));
  return id ? std::move(id) : NewId();
}

double MonotonicSeconds() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The innermost running task's note, or none.
Owned Run() noexcept {
  Owned run = ValueOf(run_var);
  return run && PyTuple_Check(run.get()) ? std::move(run) : Owned();
}

bool SameText(PyObject* left, PyObject* right) noexcept { return left == right || TextOf(left) == TextOf(right); }

}  // namespace

Owned CurrentId() noexcept {
  Owned id = ValueOf(request_id_var);
  return IsUsable(id.get()) ? std::move(id) : Owned();
}

bool InjectRequestId(PyObject* headers) {
  if (headers == nullptr || !PyDict_Check(headers)) {
    PyErr_Format(PyExc_TypeError, "headers are a dict, not %.100s",
                 headers == nullptr ? "missing" : Py_TYPE(headers)->tp_name);
    return false;
  }
  Owned id = CurrentId();
  if (!id) id = IfUsable(ItemOf(headers, TaskName().request_id));
  if (!id) id = TraceIdOf(ItemOf(headers, TaskName().traceparent));
  if (!id) id = IfUsable(ItemOf(headers, TaskName().root_id));
  if (!id) id = NewId();
  return id && PyDict_SetItem(headers, TaskName().request_id, id.get()) == 0;
}

std::optional<bool> EnterTask(PyObject* context) {
  const TaskRequest request(context);
  if (!request) return std::nullopt;
  Owned id = request.IsEager() ? CurrentId() : Owned();
  const bool is_of_caller = static_cast<bool>(id);
  if (!id) id = IdOfTask(request);
  const Owned token(id ? PyContextVar_Set(request_id_var, id.get()) : nullptr);
  if (!token) return std::nullopt;
  const Owned trace = is_of_caller ? Owned(Py_NewRef(Py_None)) : EnterTrace(request);
  if (!trace) return std::nullopt;
  const Owned outer = Run();
  const Owned began(PyFloat_FromDouble(MonotonicSeconds()));
  const Owned run(began ? PyTuple_Pack(5, outer ? outer.get() : Py_None, token.get(), trace.get(), began.get(), context)
                        : nullptr);
  const Owned run_token(run ? PyContextVar_Set(run_var, run.get()) : nullptr);
  if (!run_token) return std::nullopt;
  PyObject* came = request.Header(TaskName().request_id);
  return came != nullptr && !IsUsable(came);
}

std::optional<RunningTask> FindRunningTask(PyObject* task_id) noexcept {
  const Owned run = Run();
  if (!run) return std::nullopt;
  TaskRequest request(PyTuple_GET_ITEM(run.get(), kContext));
  if (!request) PyErr_Clear();
  if (!request || !SameText(request.Field(TaskName().id), task_id)) return std::nullopt;
  const double seconds = MonotonicSeconds() - PyFloat_AsDouble(PyTuple_GET_ITEM(run.get(), kBegan));
  return RunningTask{.request = std::move(request), .seconds = seconds};
}

bool LeaveTask() {
  const Owned run = Run();
  if (!run) return true;
  const Owned outer_token(PyContextVar_Set(run_var, PyTuple_GET_ITEM(run.get(), kAround)));
  return outer_token && LeaveTrace(PyTuple_GET_ITEM(run.get(), kTrace)) &&
         PyContextVar_Reset(request_id_var, PyTuple_GET_ITEM(run.get(), kIdToken)) == 0;
}

namespace {

PyObject* InjectFunction(PyObject* /*self*/, PyObject* headers) {
  if (!InjectRequestId(headers)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* EnterFunction(PyObject* /*self*/, PyObject* context) {
  const std::optional<bool> had_bad_id = EnterTask(context);
  return had_bad_id ? PyBool_FromLong(*had_bad_id ? 1 : 0) : nullptr;
}

PyObject* SecondsFunction(PyObject* /*self*/, PyObject* task_id) {
  const std::optional<RunningTask> running = FindRunningTask(task_id);
  if (!running) Py_RETURN_NONE;
  return PyFloat_FromDouble(running->seconds);
}

PyObject* LeaveFunction(PyObject* /*self*/, PyObject* /*none*/) {
  if (!LeaveTask()) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"inject_request_id", InjectFunction, METH_O, "Put the current request id into the headers of a message."},
    {"enter_task", EnterFunction, METH_O,
     "Make the request id and the traceparent of a task the current ones, and start its clock."},
    {"task_seconds", SecondsFunction, METH_O, "Seconds since enter_task, of the running task with this id."},
    {"leave_task", LeaveFunction, METH_NOARGS, "Put back what was current before enter_task."},
    {}};

}  // namespace

bool AddTaskRequestId(PyObject* module, PyObject* id_var) {
  request_id_var = id_var;
  run_var = PyContextVar_New("reqtrail_task_run", nullptr);
  return run_var != nullptr && InitTaskNames() && PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace reqtrail
