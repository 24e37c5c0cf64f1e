#pragma once

#include <Python.h>

#include "metrics/segment.h"

namespace reqtrail {

/// What the hooks need of the module that they are part of.
struct TaskHooksHost {
  PyObject* request_id_var;                  ///< the ContextVar of the current request id; lives as long as the process
  PyObject* traceparent_var;                 ///< the same of the current traceparent
  Segment* (*segment_of)(PyObject* object);  ///< of a `reqtrail._native.Segment`; nullptr with TypeError set
  void (*report_fault)(const char* where) noexcept;  ///< takes the current Python error
};

/// Adds the type TaskHooks, DirectSend and the functions of AddTaskRequestId to `module`. Called once, by the module's
/// initialiser. False with a Python error set. REQUIRES: the GIL.
///
/// TaskHooks(*, open_segment, due, on_started, on_ended, levels)
///   `open_segment()` binds the metrics at the first use, unless `_bind` did before; `due(eta) -> float | None` is the
///   Unix time of an ETA; `on_started(task, request)` and `on_ended(task, task_id, state, result, seconds | None,
///   due | None)` log, and are called when `levels`, a logger's own memory (level -> is it enabled), does not say that
///   nobody reads it.
///
/// on_publish, on_published, on_prerun, on_postrun (**named)
///   Receivers of the signals before_task_publish, after_task_publish, task_prerun and task_postrun. They raise
///   nothing: their faults are reported. The last two do nothing for tasks of applications that are not followed.
///
/// follow(app), unfollow(app) -> bool, follows(app) -> bool
///   Which applications are followed; they are not kept alive. `unfollow` returns whether another one is.
///
/// tell_end(task, task_id, request, state, result)
///   Counts and logs the end of a task that did not run, or whose process was killed.
///
/// worker_is_up(hostname, is_up), queue_depth(queue, messages: int | None)
///   What a worker's main process tells; None: it does not know any more.
[[nodiscard]] bool AddTaskHooks(PyObject* module, const TaskHooksHost& host);

}  // namespace reqtrail
