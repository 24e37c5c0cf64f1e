#pragma once

#include <Python.h>

namespace reqtrail {

/// Makes the context variables and keeps them for the life of the process. Called once, by the module's initialiser.
/// False with a Python error set when there is no memory.
[[nodiscard]] bool InitRequestContext();

/// The context variable "reqtrail_request_id": the one place that knows which request the running code works for.
/// Borrowed; lives as long as the process. REQUIRES: the GIL, and InitRequestContext before.
[[nodiscard]] PyObject* RequestIdVar() noexcept;

/// The context variable "reqtrail_traceparent": the W3C traceparent that the request came with. As RequestIdVar.
[[nodiscard]] PyObject* TraceparentVar() noexcept;

/// The id of the request that the running code works for, as a new reference to a str. nullptr without a Python error
/// when there is none. REQUIRES: the GIL.
[[nodiscard]] PyObject* CurrentRequestId() noexcept;

/// The same of its traceparent.
[[nodiscard]] PyObject* CurrentTraceparent() noexcept;

}  // namespace reqtrail
