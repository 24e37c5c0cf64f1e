#include "pyext/awaitable.h"

#include "pyext/asgi_names.h"
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

void RaiseThrown(PyObject* const* args, Py_ssize_t count) {
  PyObject* type = args[0];
  PyObject* value = count > 1 && args[1] != Py_None ? args[1] : nullptr;
  PyObject* traceback = count > 2 && args[2] != Py_None ? args[2] : nullptr;
  if (PyExceptionInstance_Check(type)) {
    if (value != nullptr) {
      PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
      return;
    }
    value = type;
    type = PyExceptionInstance_Class(value);
  } else if (!PyExceptionClass_Check(type)) {
    PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                 Py_TYPE(type)->tp_name);
    return;
  }
  if (value != nullptr && PyExceptionInstance_Check(value) && traceback != nullptr &&
      PyException_SetTraceback(value, traceback) < 0) {
    return;
  }
  PyErr_SetObject(type, value);
}

PyObject* ThrowInto(PyObject* iterator, PyObject* const* args, Py_ssize_t count) {
  PyObject* method = PyObject_GetAttr(iterator, Names().throw_);
  if (method == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
    PyErr_Clear();
    RaiseThrown(args, count);
    return nullptr;
  }
  PyObject* result = PyObject_Vectorcall(method, args, static_cast<std::size_t>(count), nullptr);
  Py_DECREF(method);
  return result;
}

}  // namespace reqtrail
