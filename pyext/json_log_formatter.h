#pragma once

#include <Python.h>

#include "pyext/log_line.h"

namespace reqtrail {

/// Makes the type `RecordFormatter`, the compiled base of `reqtrail.logging.JSONFormatter`: `format(record)` returns a
/// log record as one JSON line, without the line's end, and raises nothing but what is no `Exception`, and TypeError
/// for what is no record. `configure(origin, ascii_only, max_text_bytes, redact)` sets how. A new reference, or nullptr
/// with a Python error set. To be called once. REQUIRES: the GIL, and InitRequestContext before.
[[nodiscard]] PyObject* MakeRecordFormatterType();

/// The format inside `object`, if it is a RecordFormatter whose type has the compiled `format` and no other; else
/// nullptr without an error set. It lives as long as the object. REQUIRES: the GIL.
[[nodiscard]] LineFormat* CompiledFormatOf(PyObject* object) noexcept;

}  // namespace reqtrail
