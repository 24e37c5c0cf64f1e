#include "pyext/request_context.h"

namespace reqtrail {
namespace {

// The module does not declare support for sub-interpreters, so that one variable each serves the whole process.
PyObject* request_id_var = nullptr;
PyObject* traceparent_var = nullptr;

PyObject* CurrentText(PyObject* variable) noexcept {
  PyObject* text = nullptr;
  if (PyContextVar_Get(variable, nullptr, &text) < 0) {
    PyErr_Clear();
    return nullptr;
  }
  if (text != nullptr && !PyUnicode_Check(text)) Py_CLEAR(text);
  return text;
}

}  // namespace

bool InitRequestContext() {
  if (request_id_var == nullptr) request_id_var = PyContextVar_New("reqtrail_request_id", nullptr);
  if (traceparent_var == nullptr) traceparent_var = PyContextVar_New("reqtrail_traceparent", nullptr);
  return request_id_var != nullptr && traceparent_var != nullptr;
}

PyObject* RequestIdVar() noexcept { return request_id_var; }

PyObject* TraceparentVar() noexcept { return traceparent_var; }

[[gnu::hot]] PyObject* CurrentRequestId() noexcept { return CurrentText(request_id_var); }

PyObject* CurrentTraceparent() noexcept { return CurrentText(traceparent_var); }

}  // namespace reqtrail
