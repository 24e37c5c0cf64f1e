#include "pyext/asgi_send.h"

#include <structmember.h>

#include <ctime>
#include <new>

#include "pyext/asgi_names.h"
#include "pyext/free_list.h"
#include "pyext/instrument_fault.h"
#include "pyext/request_headers.h"
#include "pyext/request_recorder.h"
#include "pyext/stack_temporary.h"

namespace reqtrail {
namespace {

PyTypeObject* exchange_type = nullptr;
FreeList<Exchange> free_exchanges;

bool MoreBody(PyObject* message) noexcept {
  PyObject* more = DictItem(message, Names().more_body);
  if (more == nullptr || more == Py_False) return false;
  return more == Py_True || PyObject_IsTrue(more) == 1;
}

// Starlette and FastAPI send the response of a handled exception from inside the `except` that caught it. That is the
// one place where a pure ASGI wrapper can still see which exception became this status.
void NoteHandledError(Exchange* self) noexcept {
  PyObject* handled = HandledError();
  if (handled == nullptr) return;
  self->handled_error = handled;
  Py_XSETREF(self->error_type, Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(handled))));
}

void NoteStart(Exchange* self, PyObject* message) noexcept {
  PyObject* status = DictItem(message, Names().status);
  if (status == nullptr || !PyLong_Check(status)) return;
  int overflow = 0;
  const long value = PyLong_AsLongAndOverflow(status, &overflow);
  if (overflow != 0 || value < 100 || value > 999) return;
  self->status = static_cast<int>(value);
  if (IsErrorStatus(self->middleware->recorder, self->status)) NoteHandledError(self);
}

PyObject* WithHeader(Exchange* self, PyObject* const* message, PyObject* exposed) noexcept {
  const MessageOwner owner = IsStackTemporary(message) ? MessageOwner::kNobody : MessageOwner::kApplication;
  return WithRequestIdHeader(*message, owner, self->header, exposed);
}

// The message to send in place of the argument `message`: a new reference, or nullptr without an error for "as it is".
PyObject* Observe(Exchange* self, PyObject* const* message) noexcept {
  if (!PyDict_Check(*message)) return nullptr;
  PyObject* type = TypeItem(*message);
  const bool recorded = self->middleware->recorder != nullptr;
  if (IsMessageType(type, &AsgiNames::http_response_body)) {
    if (recorded && self->ended_ns == 0 && !MoreBody(*message)) self->ended_ns = MonotonicNs();
  } else if (IsMessageType(type, &AsgiNames::http_response_start) ||
             IsMessageType(type, &AsgiNames::websocket_http_response_start)) {
    if (recorded) NoteStart(self, *message);
    return WithHeader(self, message, self->middleware->exposed_header);
  } else if (IsMessageType(type, &AsgiNames::websocket_accept)) {
    self->accepted = true;
    return WithHeader(self, message, nullptr);
  } else if (IsMessageType(type, &AsgiNames::http_response_pathsend)) {
    if (recorded && self->ended_ns == 0) self->ended_ns = MonotonicNs();
  }
  return nullptr;
}

PyObject* CallExchange(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  auto* self = reinterpret_cast<Exchange*>(callable);
  if (self->send == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "send() of a request that the garbage collector took apart");
    return nullptr;
  }
  const Py_ssize_t positional = PyVectorcall_NARGS(nargsf);
  if (positional + (kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames)) != 1) {
    return PyObject_Vectorcall(self->send, args, static_cast<std::size_t>(positional), kwnames);
  }
  PyObject* replacement = Observe(self, args);
  if (replacement == nullptr) {
    if (PyErr_Occurred()) ReportFault("response headers");
    return PyObject_Vectorcall(self->send, args, static_cast<std::size_t>(positional), kwnames);
  }
  PyObject* stack[2] = {nullptr, replacement};
  PyObject* result = PyObject_Vectorcall(
      self->send, stack + 1, static_cast<std::size_t>(positional) | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
  Py_DECREF(replacement);
  return result;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  auto* self = reinterpret_cast<Exchange*>(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->middleware);
  Py_VISIT(self->send);
  Py_VISIT(self->error_type);
  return 0;
}

int Clear(PyObject* object) {
  auto* self = reinterpret_cast<Exchange*>(object);
  Py_CLEAR(self->send);
  Py_CLEAR(self->error_type);
  return 0;
}

void Dealloc(PyObject* object) {
  auto* self = reinterpret_cast<Exchange*>(object);
  PyObject_GC_UnTrack(object);
  Py_CLEAR(self->middleware);
  Py_CLEAR(self->send);
  Py_CLEAR(self->id);
  Py_CLEAR(self->header);
  Py_CLEAR(self->error_type);
  free_exchanges.Give(self);
}

}  // namespace

Exchange* MakeExchange(Middleware* middleware, PyObject* send, PyObject* id, PyObject* header) {
  Exchange* self = free_exchanges.Take(exchange_type);
  if (self == nullptr) {
    Py_DECREF(id);
    Py_DECREF(header);
    return nullptr;
  }
  self->vectorcall = CallExchange;
  Py_INCREF(middleware);
  self->middleware = middleware;
  self->send = Py_NewRef(send);
  self->id = id;
  self->found_id = nullptr;
  self->header = header;
  self->error_type = nullptr;
  self->handled_error = nullptr;
  self->began_ns = 0;
  self->ended_ns = 0;
  self->status = 0;
  self->websocket = false;
  self->accepted = false;
  self->is_recorded = false;
  self->is_watched = false;
  new (&self->inprogress) GaugeHandle();
  PyObject_GC_Track(self);
  return self;
}

std::int64_t MonotonicNs() noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000) + now.tv_nsec;
}

PyObject* HandledError() noexcept {
#if PY_VERSION_HEX >= 0x030B0000
  PyObject* handled = PyErr_GetHandledException();
#else
  PyObject* type = nullptr;
  PyObject* handled = nullptr;
  PyObject* traceback = nullptr;
  PyErr_GetExcInfo(&type, &handled, &traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
#endif
  if (handled == nullptr) return nullptr;
  Py_DECREF(handled);  // the interpreter's stack of handled exceptions holds another reference
  return handled == Py_None ? nullptr : handled;
}

bool InitExchangeType() {
  if (exchange_type != nullptr) return true;
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(Exchange, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)}, {Py_tp_members, members},
      {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},      {Py_tp_clear, reinterpret_cast<void*>(Clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},        {0, nullptr},
  };
  static PyType_Spec spec = {
      "reqtrail._native.Send", sizeof(Exchange), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  exchange_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return exchange_type != nullptr;
}

}  // namespace reqtrail
