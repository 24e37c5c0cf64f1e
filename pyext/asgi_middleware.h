#pragma once

#include <Python.h>

#include "pyext/id_policy.h"

namespace reqtrail {

/// The callable that wraps an ASGI application: reqtrail.CorrelationIDMiddleware. It is immutable after its
/// constructor, except for `dict`, which only exists so that servers recognise an ASGI 3 application (see
/// asgi_middleware.cpp). A call with an http or websocket scope makes a Call (asgi_call.h); any other goes straight
/// through to `app`, and every one does when it is switched off.
struct Middleware {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* dict;
  PyObject* app;
  IdPolicy policy;
  bool updates_request_header;
  PyObject* exposed_header;   ///< bytes: the header's name for Access-Control-Expose-Headers; nullptr: not told there
  PyObject* logger;           ///< what request.state.logger logs with
  struct Recorder* recorder;  ///< a request_recorder.h object, or nullptr: no metrics, no error and access lines
};

/// Makes the types of the middleware and puts CorrelationIDMiddleware into `module`. False with a Python error set.
[[nodiscard]] bool AddAsgiMiddleware(PyObject* module);

/// Makes `function`, an `async def (self, scope, receive, send)`, what `middleware.__call__` appears to be.
void SetAsgiMarker(PyObject* function) noexcept;

}  // namespace reqtrail
