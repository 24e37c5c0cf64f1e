#pragma once

#include <Python.h>

namespace reqtrail {

class RecordAttributes;

/// Makes the type `RecordHandler`, the compiled base of `reqtrail.logging.JSONHandler`: `handle(record)` applies the
/// filters of the logging.Handler that it is mixed with, formats and writes the record; `emit(record)` does without
/// the filters. Neither takes the handler's Python lock. Lines are written without the GIL. They raise nothing but what
/// is no `Exception`; a line that cannot be formatted or written is counted (log_sinks/dropped_lines.h).
/// `connect(sink, formatter, rates)` says where to, how, and what is sampled (AccessSampling; None for nothing); a sink
/// of None drops everything. A new reference, or nullptr with a Python error set. REQUIRES: the GIL.
[[nodiscard]] PyObject* MakeRecordHandlerType();

/// Whether `object` is a RecordHandler that needs no more of a record than its attributes: neither its type nor its
/// formatter replaces what is compiled or logging's own. What it has itself (filters, a level) is not asked. REQUIRES:
/// the GIL, and MakeRecordHandlerType before. Sets no error.
[[nodiscard]] bool TakesAttributes(PyObject* object) noexcept;

/// Writes the line of level INFO whose record would have these `attributes`, as `emit` does; it is no access line.
/// False with what is no `Exception` set. REQUIRES: TakesAttributes(handler).
[[nodiscard]] bool WriteLineOf(PyObject* handler, const RecordAttributes& attributes);

/// The same of an access line, which may be held back by sampling.
[[nodiscard]] bool WriteAccessLine(PyObject* handler, const RecordAttributes& attributes);

}  // namespace reqtrail
