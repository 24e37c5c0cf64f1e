"""The request id of a publisher in its tasks, their metrics, and one log line for each task that ended."""

import logging
from typing import Any
from weakref import WeakSet

from celery import Celery, signals

from reqtrail import _task_log
from reqtrail import logging as json_logging
from reqtrail._enabled import enabled
from reqtrail._faults import report_fault
from reqtrail._killed_tasks import KnowRequests, tell_killed
from reqtrail._native import DirectSend
from reqtrail._queue_depth import QueueDepths
from reqtrail._task_hooks import hooks
from reqtrail._worker_options import set_options
from reqtrail._worker_server import MetricsServer

__all__ = ["install", "uninstall"]

_with_json_logs: "WeakSet[Celery]" = WeakSet()
_workers_up: set[str] = set()
"""The workers that run in this process, by node name: one, unless an application starts some in threads."""


def install(
    app: Celery,
    *,
    json_logs: bool = True,
    metrics_port: int | None = None,
    metrics_addr: str | None = None,
    queue_depth_interval: float | None = 15.0,
) -> None:
    """Let tasks work for the request that published them, and count them.

    Every task published in this process carries the header `request_id`, and the `traceparent` that its request came
    with, unless there is one already. In a worker it is the current id while the
    task runs, and each task that ends writes one line to the logger `reqtrail.task`, with its name, id, state, duration
    (seconds) and, when it failed, the traceback; Celery's own lines about the same end are dropped. A task published
    outside of a request works for a request named like its root task. Calling it again changes nothing; with
    REQTRAIL_ENABLED=false it does nothing.

    Args:
        app: The Celery application whose tasks are followed.
        json_logs: Let a worker write JSON lines (`reqtrail.logging.setup`), with Celery's --loglevel and --logfile, in
            place of Celery's own set-up.
        metrics_port: Let the main process of a worker serve /metrics at this port (default: REQTRAIL_METRICS_PORT of
            the environment, else it serves nothing). Of several workers on a host, the first one does.
        metrics_addr: The address of this host to serve at (default: REQTRAIL_METRICS_ADDR, else 127.0.0.1).
        queue_depth_interval: How often a worker asks the broker for the depth of its queues, in seconds; None: never.

    Raises:
        TypeError: `app` is no Celery application.
        ValueError: A port or an interval that is none.
    """
    real_app = _real(app)
    if not enabled() or hooks.follows(real_app):
        return
    set_options(real_app, metrics_port, metrics_addr, queue_depth_interval)
    _connect()
    hooks.follow(real_app)
    for blueprint, step in _STEPS:
        real_app.steps[blueprint].add(step)
    if json_logs:
        signals.setup_logging.connect(_on_setup_logging, weak=False, dispatch_uid=_uid(_on_setup_logging))
        _with_json_logs.add(real_app)


def uninstall(app: Celery) -> None:
    """Undo `install`. Does nothing when it was not installed. Raises TypeError when `app` is no Celery application."""
    real_app = _real(app)
    _with_json_logs.discard(real_app)
    for blueprint, step in _STEPS:
        real_app.steps[blueprint].discard(step)
    if not hooks.unfollow(real_app):
        _disconnect()
    if not _with_json_logs:
        signals.setup_logging.disconnect(_on_setup_logging, dispatch_uid=_uid(_on_setup_logging))


def _real(app: Any) -> Celery:
    real_app = app._get_current_object() if hasattr(app, "_get_current_object") else app
    if not isinstance(real_app, Celery):
        raise TypeError(f"app is a Celery application, not {type(app).__name__}")
    return real_app


def _on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    """Tell of a task whose process was killed: its own `task_postrun` never comes, but this in the main process."""
    tell_killed(sender, task_id, exception)


def _on_revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    try:
        if hooks.follows(sender.app):
            hooks.tell_end(sender, request.id, request, "REVOKED", None)
    except Exception as error:
        report_fault("celery task revoked", error)


def _on_received(request: Any = None, **_: Any) -> None:
    try:
        if hooks.follows(request.task.app):
            _task_log.log_received(request)
    except Exception as error:
        report_fault("celery task received", error)


def _on_worker_ready(sender: Any = None, **_: Any) -> None:
    try:
        # One that comes back from a lost broker is the same.
        if hooks.follows(sender.app) and sender.hostname not in _workers_up:
            hooks.worker_is_up(sender.hostname, True)
            _workers_up.add(sender.hostname)
            if _task_log.logs_each_step():
                signals.task_received.connect(_on_received, weak=False, dispatch_uid=_uid(_on_received))
    except Exception as error:
        report_fault("celery worker start", error)


def _on_worker_shutdown(sender: Any = None, **_: Any) -> None:
    try:
        if sender.hostname in _workers_up:
            _workers_up.remove(sender.hostname)
            hooks.worker_is_up(sender.hostname, False)
    except Exception as error:
        report_fault("celery worker end", error)


def _on_setup_logging(loglevel: Any = None, logfile: Any = None, **_: Any) -> None:
    file = logfile if isinstance(logfile, str) else None
    json_logging.setup_unless_done(loglevel or logging.WARNING, origin="worker", file=file)


_STEPS = (("worker", KnowRequests), ("worker", MetricsServer), ("consumer", QueueDepths))
_FOR_EACH_TASK = (
    (signals.before_task_publish, hooks.on_publish),
    (signals.after_task_publish, hooks.on_published),
    (signals.task_prerun, hooks.on_prerun),
    (signals.task_postrun, hooks.on_postrun),
)
_NOW_AND_THEN = (
    (signals.task_failure, _on_failure),
    (signals.task_revoked, _on_revoked),
    (signals.worker_ready, _on_worker_ready),
    (signals.worker_shutdown, _on_worker_shutdown),
)


def _uid(receiver: Any) -> str:
    return f"reqtrail.{receiver.__name__}"


def _connect() -> None:
    for signal, receiver in (*_FOR_EACH_TASK, *_NOW_AND_THEN):
        signal.connect(receiver, weak=False, dispatch_uid=_uid(receiver))
    for signal, receiver in _FOR_EACH_TASK:
        vars(signal).setdefault("send", DirectSend(signal, receiver))
    _task_log.drop_lines_of_celery()


def _disconnect() -> None:
    for signal, receiver in (*_FOR_EACH_TASK, *_NOW_AND_THEN, (signals.task_received, _on_received)):
        signal.disconnect(receiver, dispatch_uid=_uid(receiver))
    for signal, _ in _FOR_EACH_TASK:
        if isinstance(vars(signal).get("send"), DirectSend):
            del signal.send
    _task_log.keep_lines_of_celery()
