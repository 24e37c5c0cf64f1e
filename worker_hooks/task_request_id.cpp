#include "worker_hooks/task_request_id.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "core/id_generator.h"
#include "core/request_id.h"

namespace reqtrail {
namespace {

/// Where a running task keeps what leave_task needs: on its own request, because tasks nest and threads run several.
constexpr const char* kRunAttribute = "_reqtrail_run";

/// An owned reference, or none.
class Owned {
 public:
  explicit Owned(PyObject* object = nullptr) noexcept : object_(object) {}
  Owned(Owned&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object_); }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }

 private:
  PyObject* object_;
};

bool IsUsable(PyObject* id) noexcept {
  if (id == nullptr || !PyUnicode_Check(id)) return false;
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(id, &size);
  if (text == nullptr) {
    PyErr_Clear();  // a lone surrogate
    return false;
  }
  return IsRequestId(std::string_view(text, static_cast<std::size_t>(size)));
}

Owned IfUsable(Owned id) noexcept { return IsUsable(id.get()) ? std::move(id) : Owned(); }

/// The current request id, or none.
Owned Current(PyObject* var) noexcept {
  PyObject* id = nullptr;
  if (PyContextVar_Get(var, nullptr, &id) < 0) PyErr_Clear();
  return IfUsable(Owned(id));
}

Owned Attribute(PyObject* object, const char* name) noexcept {
  Owned found(PyObject_GetAttrString(object, name));
  if (!found) PyErr_Clear();
  return found;
}

/// A value of a dict of the application, or none. `dict` may be anything.
Owned Item(PyObject* dict, const char* key) noexcept {
  if (dict == nullptr || !PyDict_Check(dict)) return Owned();
  return Owned(Py_XNewRef(PyDict_GetItemString(dict, key)));
}

Owned NewId() noexcept {
  const UuidText id = GenerateUuid4();
  return Owned(PyUnicode_FromStringAndSize(id.data(), static_cast<Py_ssize_t>(id.size())));
}

/// The id that came with the message. Protocol 2 makes headers attributes of the request, protocol 1 and eager tasks
/// not.
Owned IdOfMessage(PyObject* request) noexcept {
  Owned id = IfUsable(Attribute(request, "request_id"));
  return id ? std::move(id) : IfUsable(Item(Attribute(request, "headers").get(), "request_id"));
}

/// Whether a message came with an id that is none. One without an id did not.
bool HasBadId(PyObject* request) noexcept {
  const Owned id = Attribute(request, "request_id");
  if (id && id.get() != Py_None) return !IsUsable(id.get());
  const Owned in_headers = Item(Attribute(request, "headers").get(), "request_id");
  return in_headers && in_headers.get() != Py_None && !IsUsable(in_headers.get());
}

Owned IdOfTask(PyObject* var, PyObject* request) noexcept {
  const Owned is_eager = Attribute(request, "is_eager");
  Owned id = is_eager.get() == Py_True ? Current(var) : Owned();
  if (!id) id = IdOfMessage(request);
  if (!id) id = IfUsable(Attribute(request, "root_id"));
  return id ? std::move(id) : NewId();
}

double MonotonicSeconds() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

PyObject* InjectRequestId(PyObject* var, PyObject* headers) {
  if (!PyDict_Check(headers)) {
    PyErr_Format(PyExc_TypeError, "headers are a dict, not %.100s", Py_TYPE(headers)->tp_name);
    return nullptr;
  }
  Owned id = Current(var);
  if (!id) id = IfUsable(Item(headers, "request_id"));
  if (!id) id = IfUsable(Item(headers, "root_id"));
  if (!id) id = NewId();
  if (!id || PyDict_SetItemString(headers, "request_id", id.get()) < 0) return nullptr;
  Py_RETURN_NONE;
}

PyObject* EnterTask(PyObject* var, PyObject* request) {
  // First, so that a request that takes no attribute is found out before anything has changed.
  if (PyObject_SetAttrString(request, kRunAttribute, Py_None) < 0) return nullptr;
  const Owned id = IdOfTask(var, request);
  if (!id) return nullptr;
  const Owned token(PyContextVar_Set(var, id.get()));
  if (!token) return nullptr;
  const Owned run(Py_BuildValue("(Od)", token.get(), MonotonicSeconds()));
  if (!run || PyObject_SetAttrString(request, kRunAttribute, run.get()) < 0) return nullptr;
  return PyBool_FromLong(HasBadId(request) ? 1 : 0);
}

PyObject* TaskSeconds(PyObject* /*var*/, PyObject* request) {
  const Owned run = Attribute(request, kRunAttribute);
  if (!run || !PyTuple_Check(run.get())) Py_RETURN_NONE;
  return PyFloat_FromDouble(MonotonicSeconds() - PyFloat_AsDouble(PyTuple_GetItem(run.get(), 1)));
}

PyObject* LeaveTask(PyObject* var, PyObject* request) {
  const Owned run = Attribute(request, kRunAttribute);
  if (!run || !PyTuple_Check(run.get())) Py_RETURN_NONE;
  if (PyObject_SetAttrString(request, kRunAttribute, Py_None) < 0) return nullptr;
  if (PyContextVar_Reset(var, PyTuple_GetItem(run.get(), 0)) < 0) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"inject_request_id", InjectRequestId, METH_O, "Put the current request id into the headers of a message."},
    {"enter_task", EnterTask, METH_O, "Make the request id of a task the current one, and start its clock."},
    {"task_seconds", TaskSeconds, METH_O, "Seconds since enter_task."},
    {"leave_task", LeaveTask, METH_O, "Put the request id back that was current before enter_task."}};

}  // namespace

bool AddTaskHooks(PyObject* module, PyObject* request_id_var) {
  const Owned module_name(PyModule_GetNameObject(module));
  if (!module_name) return false;
  for (PyMethodDef& function : functions) {
    const Owned callable(PyCFunction_NewEx(&function, request_id_var, module_name.get()));
    if (!callable || PyObject_SetAttrString(module, function.ml_name, callable.get()) < 0) return false;
  }
  return true;
}

}  // namespace reqtrail
