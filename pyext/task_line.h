#pragma once

#include <pybind11/pybind11.h>

namespace reqtrail {

/// Adds `task_line(logger, attributes, write)` to `module`. It returns the callable (task, task_id, state, result,
/// seconds, due) -> None that writes the line of a task that ended: of one that succeeded, and had no ETA, directly
/// where that can be (direct_log.h); of any other, `write` does, with the same arguments. `attributes` is a dict: what
/// the records of all such lines have in common, by the names of a LogRecord's. Throws pybind11::error_already_set.
/// REQUIRES: the GIL, and InitDirectLog before.
void BindTaskLine(pybind11::module_& module);

}  // namespace reqtrail
