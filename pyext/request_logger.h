#pragma once

#include <Python.h>

namespace reqtrail {

/// A new request.state.logger: the methods of `logger` (a logging.Logger), with `id` as the extra "request_id" of each
/// record, and the trace id of `traceparent` (nullptr: none) as "trace_id", so that a record has them wherever it is
/// logged from. Takes references of its own. nullptr with MemoryError.
[[nodiscard]] PyObject* MakeRequestLogger(PyObject* logger, PyObject* id, PyObject* traceparent);

[[nodiscard]] bool InitRequestLoggerType();

}  // namespace reqtrail
