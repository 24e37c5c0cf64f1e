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

[[nodiscard]] bool InitCallType();

}  // namespace reqtrail
