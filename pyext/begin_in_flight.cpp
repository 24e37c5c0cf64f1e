#include "pyext/begin_in_flight.h"

#include <array>
#include <utility>

#include "pyext/asgi_names.h"
#include "pyext/awaitable.h"
#include "pyext/free_list.h"

namespace reqtrail {
namespace {

PyTypeObject* begin_type = nullptr;
FreeList<BeginInFlight> free_begins;

BeginInFlight* Self(PyObject* object) noexcept { return reinterpret_cast<BeginInFlight*>(object); }

// False, with the error of a coroutine, when this one cannot be stepped.
bool CheckSteppable(const BeginInFlight* self) {
  if (self->is_running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
  } else if (self->inner == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
  }
  return !self->is_running && self->inner != nullptr;
}

// After a step that was no suspension: the end, or the first step of what is in its place.
[[gnu::hot]] PySendResult GoOn(BeginInFlight* self, PyObject** result) {
  for (;;) {
    Py_CLEAR(self->inner);
    const Settle settle = std::exchange(self->settle, nullptr);
    if (settle != nullptr) self->inner = settle(*self, result);
    if (self->inner == nullptr) return *result == nullptr ? PYGEN_ERROR : PYGEN_RETURN;
    const PySendResult outcome = PyIter_Send(self->inner, Py_None, result);
    if (outcome == PYGEN_NEXT) return outcome;
  }
}

[[gnu::hot]] PySendResult Step(PyObject* object, PyObject* value, PyObject** result) {
  BeginInFlight* self = Self(object);
  *result = nullptr;
  if (!CheckSteppable(self)) return PYGEN_ERROR;
  self->is_running = true;
  PySendResult outcome = PyIter_Send(self->inner, value, result);
  if (outcome != PYGEN_NEXT) outcome = GoOn(self, result);
  self->is_running = false;
  return outcome;
}

PyObject* Yielded(PySendResult outcome, PyObject* result) {
  if (outcome != PYGEN_RETURN) return result;
  RaiseStopIteration(result);
  return nullptr;
}

PyObject* Send(PyObject* object, PyObject* value) {
  PyObject* result = nullptr;
  const PySendResult outcome = Step(object, value, &result);
  return Yielded(outcome, result);
}

PyObject* Next(PyObject* object) { return Send(object, Py_None); }

PyObject* Throw(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  BeginInFlight* self = Self(object);
  if (count < 1 || count > 3) {
    PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", count);
    return nullptr;
  }
  if (!CheckSteppable(self)) return nullptr;
  self->is_running = true;
  PyObject* result = ThrowInto(self->inner, args, count);
  PySendResult outcome = PYGEN_NEXT;
  if (result == nullptr) {
    result = TakeStopIteration();
    outcome = GoOn(self, &result);
  }
  self->is_running = false;
  return Yielded(outcome, result);
}

PyObject* Close(PyObject* object, PyObject* /*unused*/) {
  BeginInFlight* self = Self(object);
  if (self->inner == nullptr && !self->is_running) Py_RETURN_NONE;
  if (!CheckSteppable(self)) return nullptr;
  self->is_running = true;
  PyObject* closed = PyObject_CallMethodNoArgs(self->inner, Names().close);
  if (closed == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError) != 0) {  // an iterator without it
    PyErr_Clear();
    closed = Py_NewRef(Py_None);
  }
  self->is_running = false;
  Py_CLEAR(self->inner);
  return closed;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  BeginInFlight* self = Self(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->method);
  Py_VISIT(self->connection);
  Py_VISIT(self->command);
  Py_VISIT(self->timeout);
  Py_VISIT(self->inner);
  return 0;
}

int Clear(PyObject* object) {
  Py_CLEAR(Self(object)->inner);
  return 0;
}

[[gnu::hot]] void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  BeginInFlight* self = Self(object);
  Py_CLEAR(self->inner);
  Py_CLEAR(self->method);
  Py_CLEAR(self->connection);
  Py_CLEAR(self->command);
  Py_CLEAR(self->timeout);
  free_begins.Give(self);
}

}  // namespace

bool InitBeginInFlight() {
  if (begin_type != nullptr) return true;
  static std::array<PyMethodDef, 4> methods = {
      {{.ml_name = "send", .ml_meth = &Send, .ml_flags = METH_O, .ml_doc = nullptr},
       {.ml_name = "throw",
        .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Throw)),
        .ml_flags = METH_FASTCALL,
        .ml_doc = nullptr},
       {.ml_name = "close", .ml_meth = &Close, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
       {}}};
  static std::array<PyType_Slot, 9> slots = {
      {{.slot = Py_am_await, .pfunc = reinterpret_cast<void*>(&PyObject_SelfIter)},
       {.slot = Py_am_send, .pfunc = reinterpret_cast<void*>(&Step)},
       {.slot = Py_tp_iter, .pfunc = reinterpret_cast<void*>(&PyObject_SelfIter)},
       {.slot = Py_tp_iternext, .pfunc = reinterpret_cast<void*>(&Next)},
       {.slot = Py_tp_methods, .pfunc = methods.data()},
       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
       {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&Clear)},
       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
       {}}};
  static PyType_Spec spec = {"reqtrail._native.BeginInFlight", sizeof(BeginInFlight), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots.data()};
  begin_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return begin_type != nullptr;
}

[[gnu::hot]] PyObject* MakeBeginInFlight(DriverMethod* method, PyObject* connection, PyObject* command,
                                         PyObject* timeout, PyObject* inner, Settle settle) {
  if (inner == nullptr) return nullptr;
  BeginInFlight* self = free_begins.Take(begin_type);
  if (self == nullptr) {
    Py_DECREF(inner);
    return nullptr;
  }
  Py_INCREF(method);
  self->method = method;
  self->connection = Py_NewRef(connection);
  self->command = Py_NewRef(command);
  self->timeout = Py_NewRef(timeout);
  self->inner = inner;
  self->settle = settle;
  self->is_running = false;
  PyObject_GC_Track(self);
  return reinterpret_cast<PyObject*>(self);
}

}  // namespace reqtrail
