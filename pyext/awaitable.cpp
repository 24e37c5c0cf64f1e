#include "pyext/awaitable.h"

#include "pyext/held_error.h"

namespace reqtrail {
namespace {

bool IsCoroutine(PyObject* object) noexcept {
  if (PyCoro_CheckExact(object)) return true;
  if (!PyGen_CheckExact(object)) return false;
  // @types.coroutine
#if PY_VERSION_HEX >= 0x030C0000
  PyObject* code = reinterpret_cast<PyObject*>(PyGen_GetCode(reinterpret_cast<PyGenObject*>(object)));
#else
  PyObject* code = PyObject_GetAttrString(object, "gi_code");
  if (code == nullptr) {
    PyErr_Clear();
    return false;
  }
#endif
  const bool iterable = (reinterpret_cast<PyCodeObject*>(code)->co_flags & CO_ITERABLE_COROUTINE) != 0;
  Py_DECREF(code);
  return iterable;
}

// What `await` itself says.
#if PY_VERSION_HEX >= 0x030E0000
constexpr char kNotAwaitable[] = "'%.100s' object can't be awaited";
#else
constexpr char kNotAwaitable[] = "object %.100s can't be used in 'await' expression";
#endif

}  // namespace

PyObject* AwaitableIterator(PyObject* awaitable) {
  if (IsCoroutine(awaitable)) return Py_NewRef(awaitable);
  const PyAsyncMethods* slots = Py_TYPE(awaitable)->tp_as_async;
  if (slots == nullptr || slots->am_await == nullptr) {
    PyErr_Format(PyExc_TypeError, kNotAwaitable, Py_TYPE(awaitable)->tp_name);
    return nullptr;
  }
  PyObject* iterator = slots->am_await(awaitable);
  if (iterator == nullptr) return nullptr;
  if (IsCoroutine(iterator)) {
    PyErr_SetString(PyExc_TypeError, "__await__() returned a coroutine");
    Py_CLEAR(iterator);
  } else if (!PyIter_Check(iterator)) {
    PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'", Py_TYPE(iterator)->tp_name);
    Py_CLEAR(iterator);
  }
  return iterator;
}

void RaiseStopIteration(PyObject* value) {
  if (value == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
  } else {
    // An instance: with a tuple as the value, PyErr_SetObject would spread it into the arguments.
    PyObject* stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop != nullptr) PyErr_SetObject(PyExc_StopIteration, stop);
    Py_XDECREF(stop);
  }
  Py_DECREF(value);
}

PyObject* TakeStopIteration() {
  if (PyErr_Occurred() == nullptr || !PyErr_ExceptionMatches(PyExc_StopIteration)) return nullptr;
  HeldError stop;
  PyObject* value = PyObject_GetAttrString(stop.exception(), "value");
  if (value == nullptr) {
    PyErr_Clear();
    value = Py_NewRef(Py_None);
  }
  return value;
}

}  // namespace reqtrail
