#pragma once

#include <Python.h>

namespace reqtrail {

/// A new request.state.logger: the methods of `logger` (a logging.Logger), with `id` as the extra "request_id" of each
/// record, so that a record has it wherever it is logged from. Takes references of its own. nullptr with MemoryError.
[[nodiscard]] PyObject* MakeRequestLogger(PyObject* logger, PyObject* id);

[[nodiscard]] bool InitRequestLoggerType();

}  // namespace reqtrail
