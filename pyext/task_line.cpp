#include "pyext/task_line.h"

#include <new>

#include "pyext/ascii_text.h"
#include "pyext/direct_log.h"
#include "pyext/json_log_handler.h"
#include "pyext/new_reference.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

struct TaskLine {
  DirectLog log;
  py::object write;
};

// The arguments of a call. Borrowed.
struct Ended {
  PyObject* task;
  PyObject* task_id;
  PyObject* state;
  PyObject* seconds;
  PyObject* due;
};

constexpr const char* kCapsule = "reqtrail.task_line";
PyObject* name_of_name = nullptr;
PyObject* name_of_state = nullptr;

bool IsPlainSuccess(const Ended& ended) noexcept {
  return PyUnicode_CheckExact(ended.state) && PyUnicode_IS_ASCII(ended.state) && AsciiView(ended.state) == "SUCCESS" &&
         ended.due == Py_None;
}

// False with a Python error set.
bool WriteTo(PyObject* handler, const DirectLog& log, const Ended& ended) {
  const auto state = py::reinterpret_borrow<py::object>(ended.state);
  const py::object name = Steal(PyObject_GetAttr(ended.task, name_of_name));
  if (!name) return false;
  RecordAttributes attributes = log.AttributesNow();
  attributes.Set(kArgs, Steal(PyTuple_Pack(2, name.ptr(), ended.state)));
  attributes.Set(kTask, name);
  attributes.Set(kTaskId, py::reinterpret_borrow<py::object>(ended.task_id));
  attributes.Set(kDuration, py::reinterpret_borrow<py::object>(ended.seconds));
  attributes.AddExtra(py::reinterpret_borrow<py::object>(name_of_state), state);
  return PyErr_Occurred() == nullptr && WriteLineOf(handler, attributes);
}

PyObject* Write(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  const auto* self = static_cast<const TaskLine*>(PyCapsule_GetPointer(capsule, kCapsule));
  if (self == nullptr) return nullptr;
  if (count == 6) {
    const Ended ended{.task = args[0], .task_id = args[1], .state = args[2], .seconds = args[4], .due = args[5]};
    if (IsPlainSuccess(ended)) {
      if (self->log.IsOff()) Py_RETURN_NONE;
      try {
        if (const py::object handler = self->log.OnlyHandler()) {
          return WriteTo(handler.ptr(), self->log, ended) ? Py_NewRef(Py_None) : nullptr;
        }
      } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
      }
    }
  }
  return PyObject_Vectorcall(self->write.ptr(), args, static_cast<std::size_t>(count), nullptr);
}

PyMethodDef write_method = {"task_line", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(Write)),
                            METH_FASTCALL, nullptr};

py::object MakeTaskLine(const py::object& logger, const py::dict& attributes, const py::object& write) {
  const py::capsule self(
      new TaskLine{.log = DirectLog(logger.ptr(), attributes.ptr()), .write = write}, kCapsule,
      [](PyObject* capsule) { delete static_cast<TaskLine*>(PyCapsule_GetPointer(capsule, kCapsule)); });
  py::object function = Steal(PyCFunction_New(&write_method, self.ptr()));
  if (!function) throw py::error_already_set();
  return function;
}

}  // namespace

void BindTaskLine(py::module_& module) {
  name_of_name = PyUnicode_InternFromString("name");
  name_of_state = PyUnicode_InternFromString("state");
  if (name_of_name == nullptr || name_of_state == nullptr) throw py::error_already_set();
  module.def("task_line", &MakeTaskLine, py::arg("logger"), py::arg("attributes"), py::arg("write"));
}

}  // namespace reqtrail
