#pragma once

#include <Python.h>

#include <string>

#include "core/utc_time.h"
#include "pyext/json_value.h"
#include "pyext/record_attributes.h"

namespace reqtrail {

/// What the lines of one formatter have in common.
struct LineFormat {
  std::string origin = "api";
  JsonStyle style;
  UtcTimeWriter time;
  TextBuffer message;  ///< memory of the last message, for the next one
};

/// Appends `record` to `text` as one JSON line, without the line's end. `formatter` is asked for the text of an
/// exception (`formatException`). False with a Python error set when `record` has no attributes (TypeError), or when
/// code of the application raised what is no `Exception`; `text` then ends in the middle. REQUIRES: the GIL, and
/// InitLogLine before. Throws std::bad_alloc.
[[nodiscard]] bool AppendLogLine(TextBuffer& text, LineFormat& format, PyObject* formatter, PyObject* record);

/// The same for a LogRecord with these `attributes` and without exc_info, which need not exist.
[[nodiscard]] bool AppendLogLineOf(TextBuffer& text, LineFormat& format, const RecordAttributes& attributes);

/// Imports logging, and interns names. False with a Python error set.
[[nodiscard]] bool InitLogLine();

}  // namespace reqtrail
