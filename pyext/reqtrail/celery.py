"""The request id of a publisher in its tasks, and one log line for each task that ended."""

import logging
import time
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from celery import Celery, signals
from celery._state import get_current_task
from celery.app.task import Context

from reqtrail import _task_metrics, _worker_metrics
from reqtrail import logging as json_logging
from reqtrail._enabled import enabled
from reqtrail._faults import report_fault
from reqtrail._native import enter_task, inject_request_id, leave_task, task_seconds

__all__ = ["install", "uninstall"]

_logger = logging.getLogger("reqtrail.task")
_MARK = "_reqtrail_logged"
_apps: "WeakSet[Celery]" = WeakSet()
_with_json_logs: "WeakSet[Celery]" = WeakSet()
_received: "WeakValueDictionary[str, Any]" = WeakValueDictionary()
"""What the main process of a worker has received and Celery still holds, by task id."""


def install(app: Celery, *, json_logs: bool = True) -> None:
    """Let tasks work for the request that published them, and count them.

    Every task published in this process carries the header `request_id`. In a worker it is the current id while the
    task runs, and each task that ends writes one line to the logger `reqtrail.task`, with its name, id, state, duration
    (seconds) and, when it failed, the traceback; Celery's own lines about the same end are dropped. A task published
    outside of a request works for a request named like its root task. Calling it again changes nothing; with
    REQTRAIL_ENABLED=false it does nothing.

    Args:
        app: The Celery application whose tasks are followed.
        json_logs: Let a worker write JSON lines (`reqtrail.logging.setup`), with Celery's --loglevel and --logfile, in
            place of Celery's own set-up.

    Raises:
        TypeError: `app` is no Celery application.
    """
    real_app = _real(app)
    if not enabled():
        return
    if not _apps:
        _connect()
    _apps.add(real_app)
    if json_logs and not _with_json_logs:
        signals.setup_logging.connect(_on_setup_logging, weak=False, dispatch_uid=_uid(_on_setup_logging))
    if json_logs:
        _with_json_logs.add(real_app)


def uninstall(app: Celery) -> None:
    """Undo `install`. Does nothing when it was not installed. Raises TypeError when `app` is no Celery application."""
    real_app = _real(app)
    _apps.discard(real_app)
    _with_json_logs.discard(real_app)
    if not _apps:
        _disconnect()
    if not _with_json_logs:
        signals.setup_logging.disconnect(_on_setup_logging, dispatch_uid=_uid(_on_setup_logging))


def _real(app: Any) -> Celery:
    real_app = app._get_current_object() if hasattr(app, "_get_current_object") else app
    if not isinstance(real_app, Celery):
        raise TypeError(f"app is a Celery application, not {type(app).__name__}")
    return real_app


def _on_publish(headers: Any = None, **_: Any) -> None:
    try:
        inject_request_id(headers)
        headers[_task_metrics.PUBLISHED_AT] = time.time()
    except Exception as error:
        report_fault("celery publish", error)


def _on_published(sender: Any = None, routing_key: Any = None, **_: Any) -> None:
    try:
        _task_metrics.count_sent(sender, routing_key)
    except Exception as error:
        report_fault("celery published", error)


def _on_prerun(task: Any = None, **_: Any) -> None:
    try:
        if task.app in _apps:
            request = task.request
            if enter_task(request):
                _task_metrics.count_rejected_id()
            _worker_metrics.task_begins(request)
            _task_metrics.observe_wait(task.name, request)
            if _logger.isEnabledFor(logging.DEBUG):
                _logger.debug("task %s started", task.name, extra={"task": task.name, "task_id": request.id})
    except Exception as error:
        report_fault("celery task start", error)


def _on_postrun(task: Any = None, task_id: str = "", state: str | None = None, retval: Any = None, **_: Any) -> None:
    try:
        request = task.request
        try:
            seconds = task_seconds(request)
            if seconds is not None:
                _worker_metrics.task_is_over(request)
            # Without a state the process is being ended, and the main process tells why.
            if seconds is not None and state is not None:
                _tell_end(task, request, task_id, state, retval, seconds)
        finally:
            leave_task(request)
    except Exception as error:
        report_fault("celery task end", error)


def _on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    """Tell of a task whose process was killed: its own `task_postrun` never comes, but this in the main process."""
    try:
        if sender.app not in _apps or sender.request.is_eager or task_seconds(sender.request) is not None:
            return
        received = _received.pop(task_id, None)
        if received is None:
            return  # told already: a hard time limit is announced twice
        _tell_from_main_process(sender, task_id, "FAILURE", exception, Context(received.request_dict))
        _mark_as_logged(exception)
    except Exception as error:
        report_fault("celery task failure", error)


def _on_revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    try:
        if sender.app in _apps:
            _tell_from_main_process(sender, request.id, "REVOKED", None, request)
    except Exception as error:
        report_fault("celery task revoked", error)


def _tell_from_main_process(task: Any, task_id: str, state: str, result: Any, request: Context) -> None:
    enter_task(request)
    try:
        _tell_end(task, request, task_id, state, result, None)
    finally:
        leave_task(request)


def _on_received(request: Any = None, **_: Any) -> None:
    try:
        _received[request.id] = request
        if request.task.app in _apps and _logger.isEnabledFor(logging.DEBUG):
            _log_received(request, Context(request.request_dict))
    except Exception as error:
        report_fault("celery task received", error)


def _log_received(received: Any, request: Context) -> None:
    enter_task(request)
    try:
        name = received.task.name
        _logger.debug("task %s received", name, extra={"task": name, "task_id": received.id})
    finally:
        leave_task(request)


def _on_worker_ready(sender: Any = None, **_: Any) -> None:
    try:
        if sender.app in _apps:
            _worker_metrics.worker_is_up(sender.hostname)
    except Exception as error:
        report_fault("celery worker start", error)


def _on_worker_shutdown(sender: Any = None, **_: Any) -> None:
    try:
        _worker_metrics.worker_is_down(sender.hostname)
    except Exception as error:
        report_fault("celery worker end", error)


def _on_setup_logging(loglevel: Any = None, logfile: Any = None, **_: Any) -> None:
    file = logfile if isinstance(logfile, str) else None
    json_logging.setup_unless_done(loglevel or logging.WARNING, origin="worker", file=file)


def _tell_end(task: Any, request: Any, task_id: str, state: str, result: Any, seconds: float | None) -> None:
    try:
        _task_metrics.count_end(task.name, request, state, result, seconds)
    except Exception as error:
        report_fault("celery task metrics", error)
    if state == "FAILURE" or _logger.isEnabledFor(logging.INFO):
        _log_end(task, task_id, state, result, seconds)


def _log_end(task: Any, task_id: str, state: str, result: Any, seconds: float | None) -> None:
    extra: dict[str, Any] = {"task": task.name, "task_id": task_id, "state": state}
    if seconds is not None:
        extra["duration"] = seconds
    error = getattr(result, "exc", None) or result if state == "RETRY" else result
    if state == "FAILURE" and isinstance(error, BaseException) and not isinstance(error, task.throws or ()):
        _logger.error("task %s %s", task.name, state, exc_info=(type(error), error, error.__traceback__), extra=extra)
        return
    if state != "SUCCESS" and isinstance(error, BaseException):
        extra.update(error_type=type(error).__name__, error_message=_text(error))
    _logger.info("task %s %s", task.name, state, extra=extra)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose __str__ failed>"


def _mark_as_logged(error: Any) -> None:
    try:
        setattr(error, _MARK, True)
    except Exception:
        return  # then Celery logs it once more


class _SaidBetterByTaskLine(logging.Filter):
    """Drops Celery's lines about the end of a task that has, or will have, a line of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "celery.app.trace":
            task = get_current_task()
            details = getattr(record, "data", None)
            ended = isinstance(details, dict) and ("runtime" in details or "exc" in details)
            return not (ended and task is not None and task_seconds(task.request) is not None)
        return not (isinstance(record.args, tuple) and record.args and getattr(record.args[0], _MARK, False))


_FILTERED = ("celery.app.trace", "celery.worker.request")
_filter = _SaidBetterByTaskLine()
_RECEIVERS = (
    (signals.before_task_publish, _on_publish),
    (signals.after_task_publish, _on_published),
    (signals.task_prerun, _on_prerun),
    (signals.task_postrun, _on_postrun),
    (signals.task_failure, _on_failure),
    (signals.task_received, _on_received),
    (signals.task_revoked, _on_revoked),
    (signals.worker_ready, _on_worker_ready),
    (signals.worker_shutdown, _on_worker_shutdown),
)


def _uid(receiver: Any) -> str:
    return f"reqtrail{receiver.__name__}"


def _connect() -> None:
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=_uid(receiver))
    for name in _FILTERED:
        logging.getLogger(name).addFilter(_filter)


def _disconnect() -> None:
    for signal, receiver in _RECEIVERS:
        signal.disconnect(receiver, dispatch_uid=_uid(receiver))
    for name in _FILTERED:
        logging.getLogger(name).removeFilter(_filter)
