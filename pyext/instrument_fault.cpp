#include "pyext/instrument_fault.h"

#include "pyext/held_error.h"

namespace reqtrail {
namespace {

PyObject* fault_handler = nullptr;

}  // namespace

void SetFaultHandler(PyObject* handler) noexcept { Py_XSETREF(fault_handler, Py_NewRef(handler)); }

void ReportFault(const char* where) noexcept {
  HeldError fault;
  if (fault_handler == nullptr) return;
  PyObject* exception = fault.exception();
  PyObject* result = PyObject_CallFunction(fault_handler, "sO", where, exception == nullptr ? Py_None : exception);
  // The handler is Python of our own that catches everything; what still escapes (an interrupt) has nowhere to go.
  if (result == nullptr) PyErr_Clear();
  Py_XDECREF(result);
}

}  // namespace reqtrail
