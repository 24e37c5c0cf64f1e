#include "pyext/asgi_middleware.h"

#include <structmember.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "pyext/asgi_call.h"
#include "pyext/asgi_names.h"
#include "pyext/asgi_send.h"
#include "pyext/request_recorder.h"

namespace reqtrail {
namespace {

PyObject* asgi_marker = nullptr;

Middleware* AsMiddleware(PyObject* object) noexcept { return reinterpret_cast<Middleware*>(object); }

// The arguments of app(scope, receive, send) in this order, borrowed; false when they are anything else.
bool BindArguments(PyObject* const* args, Py_ssize_t positional, PyObject* kwnames, PyObject** bound) noexcept {
  constexpr const char* kNames[] = {"scope", "receive", "send"};
  const Py_ssize_t keywords = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (positional + keywords != 3) return false;
  std::fill_n(bound, 3, nullptr);
  std::copy_n(args, positional, bound);
  for (Py_ssize_t i = 0; i < keywords; ++i) {
    const auto* const known = std::ranges::find_if(kNames, [&](const char* name) {
      return PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), name) == 0;
    });
    if (known != std::end(kNames)) bound[known - kNames] = args[positional + i];
  }
  return std::all_of(bound, bound + 3, [](PyObject* argument) { return argument != nullptr; });
}

bool IsRequest(PyObject* scope) noexcept {
  PyObject* type = DictItem(scope, Names().type);
  return IsName(type, Names().http) || IsName(type, Names().websocket);
}

PyObject* CallMiddleware(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  Middleware* self = AsMiddleware(callable);
  PyObject* bound[3];
  if (!BindArguments(args, PyVectorcall_NARGS(nargsf), kwnames, bound) || !IsRequest(bound[0])) {
    return PyObject_Vectorcall(self->app, args, static_cast<std::size_t>(PyVectorcall_NARGS(nargsf)), kwnames);
  }
  return MakeCall(self, bound[0], bound[1], bound[2]);
}

// A header name is a token (RFC 9110): anything else would let a configuration split the response.
PyObject* HeaderNameBytes(const char* name) {
  constexpr const char* kTokenBytes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
  std::string lower(name);
  for (char& byte : lower) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte + ('a' - 'A'));
  }
  if (lower.empty() || lower.find_first_not_of(kTokenBytes) != std::string::npos) {
    PyErr_SetString(
        PyExc_ValueError,
        "header_name must be the name of an HTTP header, such as \"X-Request-ID\": letters, digits and - only");
    return nullptr;
  }
  return PyBytes_FromStringAndSize(lower.data(), static_cast<Py_ssize_t>(lower.size()));
}

bool CheckOptions(PyObject* app, PyObject* generator, PyObject* recorder) {
  if (PyCallable_Check(app) == 0) {
    PyErr_Format(PyExc_TypeError, "app must be an ASGI application: a callable (scope, receive, send), not %.100s",
                 Py_TYPE(app)->tp_name);
    return false;
  }
  if (generator != Py_None && PyCallable_Check(generator) == 0) {
    PyErr_Format(PyExc_TypeError, "generator must be a callable () -> str or None, not %.100s",
                 Py_TYPE(generator)->tp_name);
    return false;
  }
  if (recorder != Py_None && !PyObject_TypeCheck(recorder, RecorderType())) {
    PyErr_SetString(PyExc_TypeError, "_recorder must be a Recorder or None");
    return false;
  }
  return true;
}

// `async def` seen from outside: servers (uvicorn, asgiref) take a callable for ASGI 3 only if inspect says that its
// __call__ is a coroutine function, which no slot of a C type can be. They look in the instance; calls use the slot.
bool PutMarker(Middleware* self) {
  if (asgi_marker == nullptr) return true;
  self->dict = PyDict_New();
  if (self->dict == nullptr) return false;
  PyObject* bound = PyMethod_New(asgi_marker, reinterpret_cast<PyObject*>(self));
  const bool put = bound != nullptr && PyDict_SetItemString(self->dict, "__call__", bound) == 0;
  Py_XDECREF(bound);
  return put;
}

PyObject* New(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"app", "header_name", "generator", "_recorder", nullptr};
  PyObject* app = nullptr;
  const char* header_name = "X-Request-ID";
  PyObject* generator = Py_None;
  PyObject* recorder = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|s$OO:CorrelationIDMiddleware", const_cast<char**>(keywords), &app,
                                   &header_name, &generator, &recorder) ||
      !CheckOptions(app, generator, recorder)) {
    return nullptr;
  }
  PyObject* header_bytes = HeaderNameBytes(header_name);
  if (header_bytes == nullptr) return nullptr;
  Middleware* self = AsMiddleware(type->tp_alloc(type, 0));
  if (self == nullptr) {
    Py_DECREF(header_bytes);
    return nullptr;
  }
  self->vectorcall = CallMiddleware;
  self->app = Py_NewRef(app);
  self->header_name = header_bytes;
  self->generator = generator == Py_None ? nullptr : Py_NewRef(generator);
  self->recorder = recorder == Py_None ? nullptr : reinterpret_cast<Recorder*>(Py_NewRef(recorder));
  if (!PutMarker(self)) Py_CLEAR(self);
  return reinterpret_cast<PyObject*>(self);
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Middleware* self = AsMiddleware(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->dict);
  Py_VISIT(self->app);
  Py_VISIT(self->generator);
  Py_VISIT(reinterpret_cast<PyObject*>(self->recorder));
  return 0;
}

// `app` stays: whoever still holds the middleware may call it.
int Clear(PyObject* object) {
  Py_CLEAR(AsMiddleware(object)->dict);
  return 0;
}

void Dealloc(PyObject* object) {
  Middleware* self = AsMiddleware(object);
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  Py_CLEAR(self->dict);
  Py_CLEAR(self->app);
  Py_CLEAR(self->header_name);
  Py_CLEAR(self->generator);
  Py_XDECREF(reinterpret_cast<PyObject*>(self->recorder));
  type->tp_free(object);
  Py_DECREF(type);
}

constexpr const char kDoc[] =
    "CorrelationIDMiddleware(app, header_name=\"X-Request-ID\", *, generator=None)\n--\n\n"
    "Gives every HTTP request and WebSocket of the ASGI application `app` a request id: the one in the request header\n"
    "`header_name`, if it is there once and is a request id, else a new one. It is in request.state.request_id, in\n"
    "reqtrail.get_request_id() and in the same header of the response.\n\n"
    "generator: a callable () -> str that makes new ids in place of random UUIDs. What it returns is checked.\n"
    "Raises TypeError or ValueError for an argument that is none of this.";

}  // namespace

void SetAsgiMarker(PyObject* function) noexcept { Py_XSETREF(asgi_marker, Py_NewRef(function)); }

bool AddAsgiMiddleware(PyObject* module) {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(Middleware, vectorcall), READONLY, nullptr},
      {"__dictoffset__", T_PYSSIZET, offsetof(Middleware, dict), READONLY, nullptr},
      {"app", T_OBJECT, offsetof(Middleware, app), READONLY, "The application inside."},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyGetSetDef attributes[] = {
      {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(New)},
      {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
      {Py_tp_doc, const_cast<char*>(kDoc)},
      {Py_tp_members, members},
      {Py_tp_getset, attributes},
      {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(Clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
      {0, nullptr},
  };
  static PyType_Spec spec = {"reqtrail._native.CorrelationIDMiddleware", sizeof(Middleware), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};
  if (!InitAsgiNames() || !InitExchangeType() || !InitCallType()) return false;
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) return false;
  const bool added = PyModule_AddObjectRef(module, "CorrelationIDMiddleware", type) == 0;
  Py_DECREF(type);
  return added;
}

}  // namespace reqtrail
