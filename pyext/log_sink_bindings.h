#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "log_sinks/line_sink.h"

namespace reqtrail {

/// Adds LogSink, its makers, AccessSampling and what tells of dropped lines to the module. Throws
/// pybind11::error_already_set.
void BindLogSinks(pybind11::module_& module);

/// The sink inside a `LogSink`, or an empty pointer with TypeError set. REQUIRES: the GIL.
[[nodiscard]] std::shared_ptr<LineSink> LogSinkOf(PyObject* object);

/// Tells the Python callable set by `set_drop_handler`, (reason: str, lines: int) -> None, of the lines that were
/// dropped since the last call. One load when there are none. Leaves no Python error. REQUIRES: the GIL.
void ReportDroppedLines();

}  // namespace reqtrail
