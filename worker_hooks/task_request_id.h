#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds the task hooks to `module`, as functions that work on `request_id_var`, the ContextVar of the current request
/// id. False with a Python error set. REQUIRES: the GIL.
///
/// inject_request_id(headers: dict) -> None
///   Before a publish: puts the current request id into the headers of the message, over any that is there. Outside of
///   a request a valid id in the headers stays, else the task's root id is the request id, else a new one. So the
///   headers of a task always have exactly one, and never grow.
///
/// enter_task(request: celery.app.task.Context) -> bool
///   Before a task runs: makes the id in its headers the current one, and starts its clock. The broker is not trusted:
///   an id that is none is replaced by the root id or a new one. A task that its caller runs in place (eager) works for
///   the caller's request, if there is one. Returns whether the message came with an id that is none.
///
/// task_seconds(request) -> float | None
///   Seconds since enter_task; None when it was not called for this request, or leave_task was.
///
/// leave_task(request) -> None
///   After the task: puts back the id that was current before enter_task. Does nothing without an enter_task.
[[nodiscard]] bool AddTaskHooks(PyObject* module, PyObject* request_id_var);

}  // namespace reqtrail
