#pragma once

#include <Python.h>

#include <optional>

#include "worker_hooks/owned.h"
#include "worker_hooks/task_request.h"

/// The request id on its way through a message. REQUIRES throughout: the GIL, and AddTaskRequestId before.
namespace reqtrail {

/// Before a publish: puts the current request id into the headers of the message, over any that is there. Outside of a
/// request a valid id in the headers stays, else the trace id of a traceparent there is the request id, else the task's
/// root id, else a new one. So the headers of a task always have exactly one, and never grow. False with a Python error
/// set.
[[nodiscard]] bool InjectRequestId(PyObject* headers);

/// Before a task runs: makes the id in its headers and the traceparent there the current ones, and starts its clock.
/// The broker is not trusted: an id that is none is replaced by the trace id, else the root id, else a new one. A task
/// that its caller runs in place (eager) works for the caller's request, if there is one. `context` is its
/// celery.app.task.Context. Returns whether the message came with an id that is none; nothing with a Python error set.
[[nodiscard]] std::optional<bool> EnterTask(PyObject* context);

/// A task between EnterTask and LeaveTask, the innermost one in this Python context (tasks nest, threads run several).
struct RunningTask {
  TaskRequest request;
  double seconds;  ///< since EnterTask
};

/// Nothing outside of a task, and where the innermost one has another id than `task_id`. Sets no error.
[[nodiscard]] std::optional<RunningTask> FindRunningTask(PyObject* task_id) noexcept;

/// After a task: puts back what was current before the innermost EnterTask. False with a Python error set.
[[nodiscard]] bool LeaveTask();

/// The current request id, or none if it is not one that may be shown.
[[nodiscard]] Owned CurrentId() noexcept;

/// Adds the functions to `module`: inject_request_id(headers), enter_task(request) -> bool, task_seconds(task_id) ->
/// float | None, leave_task(). `id_var` is the ContextVar of the current request id; it lives as long as the process.
/// Called once. False with a Python error set.
[[nodiscard]] bool AddTaskRequestId(PyObject* module, PyObject* id_var);

}  // namespace reqtrail
