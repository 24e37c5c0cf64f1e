#include "pyext/request_context.h"

namespace reqtrail {
namespace {

// The module does not declare support for sub-interpreters, so that one variable serves the whole process.
PyObject* request_id_var = nullptr;

}  // namespace

bool InitRequestContext() {
  if (request_id_var == nullptr) request_id_var = PyContextVar_New("reqtrail_request_id", nullptr);
  return request_id_var != nullptr;
}

PyObject* RequestIdVar() noexcept { return request_id_var; }

PyObject* CurrentRequestId() noexcept {
  PyObject* id = nullptr;
  if (PyContextVar_Get(request_id_var, nullptr, &id) < 0) {
    PyErr_Clear();
    return nullptr;
  }
  if (id != nullptr && !PyUnicode_Check(id)) Py_CLEAR(id);
  return id;
}

}  // namespace reqtrail
