"""The log lines of tasks, in the place of Celery's own about the same."""

import logging
from datetime import datetime, timezone
from typing import Any

from celery.app.task import Context

from reqtrail._line_kind import LineKind
from reqtrail._native import enter_task, leave_task, task_line, task_seconds

_logger = logging.getLogger("reqtrail.task")
_MARK = "_reqtrail_logged"


def task_levels() -> dict[int, bool]:
    """Return the task logger's own memory of which levels are enabled; empty where `logging` keeps none."""
    levels: dict[int, bool] = getattr(_logger, "_cache", {})
    return levels


def logs_each_step() -> bool:
    """Tell whether lines about the reception and the start of tasks are written."""
    return _logger.isEnabledFor(logging.DEBUG)


def log_received(received: Any) -> None:
    """Write that the main process of a worker has a task. `received` is a celery.worker.request.Request."""
    if not logs_each_step():
        return
    enter_task(Context(received.request_dict))
    try:
        name = received.task.name
        _logger.debug("task %s received", name, extra={"task": name, "task_id": received.id})
    finally:
        leave_task()


def log_started(task: Any, request: Context) -> None:
    """Write that a task begins."""
    if logs_each_step():
        _logger.debug("task %s started", task.name, extra={"task": task.name, "task_id": request.id})


def log_ended(task: Any, task_id: str, state: str, result: Any, seconds: float | None, due: float | None) -> None:
    """Write how a task ended.

    `seconds` is None where it did not run, or its process was killed. `due` is the Unix time of its ETA, if it has one.
    """
    extra: dict[str, Any] = {"task": task.name, "task_id": task_id, "state": state}
    if seconds is not None:
        extra["duration"] = seconds
    if due is not None:
        eta = datetime.fromtimestamp(due, timezone.utc)
        extra["eta"] = eta.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    error = getattr(result, "exc", None) or result if state == "RETRY" else result
    if state == "FAILURE" and isinstance(error, BaseException) and not isinstance(error, task.throws or ()):
        _logger.error("task %s %s", task.name, state, exc_info=(type(error), error, error.__traceback__), extra=extra)
        return
    if not _logger.isEnabledFor(logging.INFO):
        return
    if state != "SUCCESS" and isinstance(error, BaseException):
        extra.update(error_type=type(error).__name__, error_message=_text(error))
    _ends.log((task.name, state), extra)


_ends = LineKind(_logger, log_ended, "task %s %s")
write_ended = task_line(_logger, _ends.attributes(), log_ended)
"""`log_ended`, directly to the one `JSONHandler` where nobody else would see the record."""


def mark_as_logged(error: Any) -> None:
    """Let Celery's own line about this error be dropped."""
    try:
        setattr(error, _MARK, True)
    except Exception:
        return  # then Celery logs it once more


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose __str__ failed>"


class _SaidBetterByTaskLine(logging.Filter):
    """Drops Celery's lines about the end of a task that has, or will have, a line of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "celery.app.trace":
            details = getattr(record, "data", None)
            if not isinstance(details, dict) or not ("runtime" in details or "exc" in details):
                return True
            return task_seconds(details["id"]) is None
        return not (isinstance(record.args, tuple) and record.args and getattr(record.args[0], _MARK, False))


_FILTERED = ("celery.app.trace", "celery.worker.request")
_filter = _SaidBetterByTaskLine()


def drop_lines_of_celery() -> None:
    """Drop the lines that ours replace, from here on."""
    for name in _FILTERED:
        logging.getLogger(name).addFilter(_filter)


def keep_lines_of_celery() -> None:
    """Undo `drop_lines_of_celery`."""
    for name in _FILTERED:
        logging.getLogger(name).removeFilter(_filter)
