#include "pyext/request_state.h"

#include "pyext/asgi_names.h"
#include "pyext/request_context.h"
#include "pyext/request_logger.h"

namespace reqtrail {
namespace {

bool SetItem(PyObject* state, PyObject* name, PyObject* value) {
  return (PyDict_CheckExact(state) ? PyDict_SetItem(state, name, value) : PyObject_SetItem(state, name, value)) == 0;
}

}  // namespace

PyObject* RequestState(PyObject* scope) {
  PyObject* state = DictItem(scope, Names().state);
  if (state != nullptr) return state;
  state = PyDict_New();
  if (state == nullptr) return nullptr;
  const int failed = PyDict_SetItem(scope, Names().state, state);
  Py_DECREF(state);  // the scope holds it
  return failed != 0 ? nullptr : state;
}

PyObject* IdOfOuterMiddleware(PyObject* state) noexcept {
  if (!PyDict_CheckExact(state) || PyDict_GET_SIZE(state) == 0) return nullptr;
  PyObject* id = DictItem(state, Names().request_id);
  if (id == nullptr) return nullptr;
  PyObject* current = CurrentRequestId();
  if (current != id) Py_CLEAR(current);
  return current;
}

bool SetRequestState(PyObject* state, PyObject* id, PyObject* traceparent, PyObject* logger) {
  PyObject* bound = MakeRequestLogger(logger, id, traceparent);
  const bool set = bound != nullptr && SetItem(state, Names().request_id, id) && SetItem(state, Names().logger, bound);
  Py_XDECREF(bound);
  return set;
}

}  // namespace reqtrail
