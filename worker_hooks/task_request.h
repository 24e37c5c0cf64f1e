#pragma once

#include <Python.h>

#include <string_view>

#include "worker_hooks/owned.h"
#include "worker_hooks/task_names.h"

namespace reqtrail {

/// What Celery knows of one run of a task (a celery.app.task.Context), read without running Python code. What comes
/// from the message is the broker's word: anything may be in it. REQUIRES: the GIL, and InitTaskNames before.
class TaskRequest {
 public:
  /// `context` is borrowed. What is no context is false, with a Python error set.
  explicit TaskRequest(PyObject* context) noexcept : fields_(PyObject_GetAttr(context, TaskName().dict)) {
    if (fields_ && !PyDict_Check(fields_.get())) {
      fields_ = Owned();
      PyErr_SetString(PyExc_TypeError, "a task request keeps its fields in a dict");
    }
  }
  explicit operator bool() const noexcept { return static_cast<bool>(fields_); }

  /// Borrowed; nullptr where there is none, and for None.
  [[nodiscard]] PyObject* Field(PyObject* name) const noexcept { return ItemOf(fields_.get(), name); }

  /// A header of the message, borrowed. Protocol 2 makes headers fields of the request, protocol 1 and eager tasks not.
  [[nodiscard]] PyObject* Header(PyObject* name) const noexcept {
    PyObject* field = Field(name);
    return field != nullptr ? field : ItemOf(Field(TaskName().headers), name);
  }

  /// Whether the caller of the task runs it in place.
  [[nodiscard]] bool IsEager() const noexcept { return Field(TaskName().is_eager) == Py_True; }

  /// The routing key by which the message came: the queue's name, unless it is routed by an exchange.
  [[nodiscard]] std::string_view Queue() const noexcept {
    return TextOf(ItemOf(Field(TaskName().delivery_info), TaskName().routing_key));
  }

 private:
  Owned fields_;
};

}  // namespace reqtrail
