#pragma once

#include <Python.h>

#include "core/text_buffer.h"

namespace reqtrail {

/// Appends `format % args` (an exact str and an exact tuple), as UTF-8, if that takes no more than what most messages
/// are made of: %s and %d, for texts in ASCII and ints of 64 bits. False for anything else, also for arguments that do
/// not fit: PyUnicode_Format knows what is to be done, and `out` has some of it. Runs no Python code and sets no error.
/// Throws std::bad_alloc.
[[nodiscard]] bool AppendPercentFormat(TextBuffer& out, PyObject* format, PyObject* args);

}  // namespace reqtrail
