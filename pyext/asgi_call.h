#pragma once

#include <Python.h>

#include "pyext/asgi_middleware.h"

namespace reqtrail {

/// The awaitable of one request. The first step takes or makes the id, sets the context variable and calls the
/// application; every later step (send, throw, close) goes to what the application returned, and its answer comes back
/// as it is, exceptions with their tracebacks included. The last step records the request and resets the context
/// variable. It behaves as a coroutine does: not to be awaited twice, nor re-entered. New reference, or nullptr with
/// MemoryError.
[[nodiscard]] PyObject* MakeCall(Middleware* middleware, PyObject* scope, PyObject* receive, PyObject* send);

/// Counts an error of class `error_type` that the running code has handled, for the request that it works for. Returns
/// the tuple (method, endpoint) of that request, or None when it works for none that is recorded, as a new reference;
/// nullptr with an error.
[[nodiscard]] PyObject* CountCapturedError(const char* error_type);

[[nodiscard]] bool InitCallType();

}  // namespace reqtrail
