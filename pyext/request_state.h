#pragma once

#include <Python.h>

namespace reqtrail {

/// The mapping of request.state in an ASGI scope, borrowed; made if the server gave none. nullptr with an error.
[[nodiscard]] PyObject* RequestState(PyObject* scope);

/// Two middlewares around one application are one: the outer one has set state and context variable to the very same
/// str. A new reference to it; nullptr without an error when there is no outer one.
[[nodiscard]] PyObject* IdOfOuterMiddleware(PyObject* state) noexcept;

/// Sets request_id, and logger to `logger` bound to the id and to `traceparent` (nullptr: none). False with an error.
[[nodiscard]] bool SetRequestState(PyObject* state, PyObject* id, PyObject* traceparent, PyObject* logger);

}  // namespace reqtrail
