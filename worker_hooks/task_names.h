#pragma once

#include <Python.h>

#include <string_view>

namespace reqtrail {

/// The names that the hooks look for in what Celery hands them, interned.
struct TaskNames {
  PyObject* app;
  PyObject* delivery_info;
  PyObject* dict;  ///< __dict__
  PyObject* eta;
  PyObject* headers;
  PyObject* id;
  PyObject* is_eager;
  PyObject* name;
  PyObject* published_at;  ///< our header: seconds since the epoch, of the publisher's clock
  PyObject* receivers;
  PyObject* redelivered;
  PyObject* request;
  PyObject* request_id;  ///< our header
  PyObject* result;      ///< of the signal task_postrun: retval
  PyObject* root_id;
  PyObject* routing_key;
  PyObject* send;
  PyObject* sender;
  PyObject* state;
  PyObject* task;
  PyObject* task_id;
  PyObject* traceparent;  ///< the header of W3C Trace Context
};

/// Called once, by the module's initialiser. False with a Python error set when there is no memory.
[[nodiscard]] bool InitTaskNames();

/// Borrowed strings that live as long as the process. REQUIRES: InitTaskNames before.
[[nodiscard]] const TaskNames& TaskName() noexcept;

/// The value of `key` in `dict`, borrowed; nullptr where there is none, where it is None, and where `dict` is no dict.
/// Sets no error.
[[nodiscard]] PyObject* ItemOf(PyObject* dict, PyObject* key) noexcept;

/// The UTF-8 of a str, valid while it lives; empty for anything else and for a lone surrogate. Sets no error.
[[nodiscard]] std::string_view TextOf(PyObject* text) noexcept;

}  // namespace reqtrail
