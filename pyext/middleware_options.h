#pragma once

#include <Python.h>

namespace reqtrail {

/// The arguments of CorrelationIDMiddleware, checked. Borrowed but for those that are said to be new; nullptr for None.
struct MiddlewareOptions {
  PyObject* app = nullptr;
  bool is_enabled = true;
  PyObject* header_name = nullptr;  ///< new: bytes, lower case
  bool update_request_header = true;
  PyObject* generator = nullptr;
  PyObject* validator = nullptr;
  PyObject* transformer = nullptr;
  PyObject* trust_incoming = Py_True;  ///< True, False or a callable
  PyObject* exposed_header = nullptr;  ///< new: bytes, the name as it was given; nullptr: not exposed
  PyObject* logger = nullptr;          ///< new
  PyObject* recorder = nullptr;

  MiddlewareOptions() = default;
  MiddlewareOptions(const MiddlewareOptions&) = delete;
  MiddlewareOptions& operator=(const MiddlewareOptions&) = delete;
  ~MiddlewareOptions();

  /// False with TypeError or ValueError set, which says what would be right. REQUIRES: args and kwargs outlive this.
  [[nodiscard]] bool Parse(PyObject* args, PyObject* kwargs);
};

}  // namespace reqtrail
