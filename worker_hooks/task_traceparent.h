#pragma once

#include <Python.h>

#include "worker_hooks/owned.h"
#include "worker_hooks/task_request.h"

/// The W3C traceparent on its way through a message: as on the HTTP side it is passed on as it came, because we make no
/// spans. REQUIRES throughout: the GIL, and InitTaskTraceparent before.
namespace reqtrail {

/// `trace_var` is the ContextVar of the current traceparent; it lives as long as the process. Called once.
void InitTaskTraceparent(PyObject* trace_var) noexcept;

/// Before a publish: puts the current traceparent into the headers of the message. One that is there already stays: it
/// is that of the caller, of an instrumentation that makes spans, or of the run that is retried. What is none is
/// removed. REQUIRES: a dict. False with a Python error set.
[[nodiscard]] bool InjectTraceparent(PyObject* headers);

/// The trace id of a header's value, as a str; none if that is no traceparent.
[[nodiscard]] Owned TraceIdOf(PyObject* traceparent) noexcept;

/// Before a task runs: makes the traceparent of its message the current one, or none if there is none that is valid:
/// the broker is not trusted. Returns what LeaveTrace takes; nullptr with a Python error set.
[[nodiscard]] Owned EnterTrace(const TaskRequest& request) noexcept;

/// After a task: puts back what was current before. False with a Python error set.
[[nodiscard]] bool LeaveTrace(PyObject* entered) noexcept;

}  // namespace reqtrail
