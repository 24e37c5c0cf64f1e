#pragma once

#include <Python.h>

#include "worker_hooks/owned.h"

namespace reqtrail {

/// The value that a ContextVar has now, or none. Sets no error. REQUIRES: the GIL.
[[nodiscard]] inline Owned ValueOf(PyObject* context_var) noexcept {
  PyObject* value = nullptr;
  if (PyContextVar_Get(context_var, nullptr, &value) < 0) PyErr_Clear();
  return Owned(value);
}

}  // namespace reqtrail
