#pragma once

#include <Python.h>

namespace reqtrail {

/// Makes the type `RecordFormatter`, the compiled base of `reqtrail.logging.JSONFormatter`: `format(record)` returns a
/// log record as one JSON line, without the line's end, and raises nothing but what is no `Exception`. The instance
/// attributes `origin` (str) and `ascii` (bool) are read at each change only, through `configure(origin, ascii)`.
/// A new reference, or nullptr with a Python error set. REQUIRES: the GIL, and InitRequestContext before.
[[nodiscard]] PyObject* MakeRecordFormatterType();

}  // namespace reqtrail
