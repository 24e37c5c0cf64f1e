#include "pyext/asgi_middleware.h"

#include <structmember.h>

#include <algorithm>

#include "pyext/asgi_call.h"
#include "pyext/asgi_names.h"
#include "pyext/asgi_send.h"
#include "pyext/middleware_options.h"
#include "pyext/request_logger.h"
#include "pyext/request_recorder.h"

namespace reqtrail {
namespace {

PyObject* asgi_marker = nullptr;

Middleware* AsMiddleware(PyObject* object) noexcept { return reinterpret_cast<Middleware*>(object); }

// The arguments of app(scope, receive, send) in this order, borrowed: `args` itself, or `bound`; nullptr when they are
// anything else.
PyObject* const* BindArguments(PyObject* const* args, Py_ssize_t positional, PyObject* kwnames,
                               PyObject** bound) noexcept {
  constexpr const char* kNames[] = {"scope", "receive", "send"};
  const Py_ssize_t keywords = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (positional + keywords != 3) return nullptr;
  if (keywords == 0) return args;
  std::fill_n(bound, 3, nullptr);
  std::copy_n(args, positional, bound);
  for (Py_ssize_t i = 0; i < keywords; ++i) {
    const auto* const known = std::ranges::find_if(kNames, [&](const char* name) {
      return PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), name) == 0;
    });
    if (known != std::end(kNames)) bound[known - kNames] = args[positional + i];
  }
  return std::all_of(bound, bound + 3, [](PyObject* argument) { return argument != nullptr; }) ? bound : nullptr;
}

bool IsRequest(PyObject* scope) noexcept {
  PyObject* type = TypeItem(scope);
  return IsName(type, Names().http) || IsName(type, Names().websocket);
}

PyObject* CallApplication(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  return PyObject_Vectorcall(AsMiddleware(callable)->app, args, static_cast<std::size_t>(PyVectorcall_NARGS(nargsf)),
                             kwnames);
}

PyObject* CallMiddleware(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  Middleware* self = AsMiddleware(callable);
  PyObject* by_name[3];
  PyObject* const* bound = BindArguments(args, PyVectorcall_NARGS(nargsf), kwnames, by_name);
  if (bound == nullptr || !IsRequest(bound[0])) {
    return CallApplication(callable, args, nargsf, kwnames);
  }
  return MakeCall(self, bound[0], bound[1], bound[2]);
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
  MiddlewareOptions options;
  if (!options.Parse(args, kwargs)) return nullptr;
  Middleware* self = AsMiddleware(type->tp_alloc(type, 0));
  if (self == nullptr) return nullptr;
  self->vectorcall = options.is_enabled ? CallMiddleware : CallApplication;
  self->app = Py_NewRef(options.app);
  self->policy = {.header_name = Py_NewRef(options.header_name),
                  .generator = Py_XNewRef(options.generator),
                  .validator = Py_XNewRef(options.validator),
                  .transformer = Py_XNewRef(options.transformer),
                  .trust_incoming = Py_NewRef(options.trust_incoming)};
  self->updates_request_header = options.update_request_header;
  self->exposed_header = Py_XNewRef(options.exposed_header);
  self->logger = Py_NewRef(options.logger);
  self->recorder = reinterpret_cast<Recorder*>(Py_XNewRef(options.recorder));
  if (!PutMarker(self)) Py_CLEAR(self);
  return reinterpret_cast<PyObject*>(self);
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Middleware* self = AsMiddleware(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->dict);
  Py_VISIT(self->app);
  Py_VISIT(self->policy.generator);
  Py_VISIT(self->policy.validator);
  Py_VISIT(self->policy.transformer);
  Py_VISIT(self->policy.trust_incoming);
  Py_VISIT(self->logger);
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
  Py_CLEAR(self->policy.header_name);
  Py_CLEAR(self->policy.generator);
  Py_CLEAR(self->policy.validator);
  Py_CLEAR(self->policy.transformer);
  Py_CLEAR(self->policy.trust_incoming);
  Py_CLEAR(self->exposed_header);
  Py_CLEAR(self->logger);
  Py_XDECREF(reinterpret_cast<PyObject*>(self->recorder));
  type->tp_free(object);
  Py_DECREF(type);
}

constexpr const char kDoc[] =
    "CorrelationIDMiddleware(app, header_name=\"X-Request-ID\", *, update_request_header=True, generator=None,\n"
    "                        validator=None, transformer=None, trust_incoming=True, expose_cors=False, logger=None,\n"
    "                        enabled=None)\n"
    "--\n\n"
    "Gives every HTTP request and WebSocket of the ASGI application `app` a request id: the one in the request header\n"
    "`header_name`, if it is there once and is a request id; else the trace id of its traceparent; else a new one. It\n"
    "is in request.state.request_id, in reqtrail.get_request_id(), in the same header of the response, and on the\n"
    "records of request.state.logger.\n\n"
    "update_request_header: put the id into the request's own header too, where the application may look for it.\n"
    "generator: a callable () -> str that makes new ids in place of random UUIDs. What it returns is checked.\n"
    "validator: a callable (id: str) -> bool that may refuse an id of the client that is one.\n"
    "transformer: a callable (id: str) -> str that changes ids, given or new ones. What it returns is checked.\n"
    "trust_incoming: whether to take an id from the request at all: a bool, or a callable (scope) -> bool.\n"
    "expose_cors: let scripts of other origins read the response header (Access-Control-Expose-Headers).\n"
    "logger: what request.state.logger logs with: a logging.Logger or its name; None is \"reqtrail.request\".\n"
    "enabled: False passes every call on to `app`, and does nothing else; None is what REQTRAIL_ENABLED says now.\n"
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
  if (!InitAsgiNames() || !InitExchangeType() || !InitRequestLoggerType() || !InitCallType()) return false;
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) return false;
  const bool added = PyModule_AddObjectRef(module, "CorrelationIDMiddleware", type) == 0;
  Py_DECREF(type);
  return added;
}

}  // namespace reqtrail
