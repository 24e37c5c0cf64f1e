"""The series of the tasks: counted where tasks are published and run, shown by any process of the service."""

import math
import time
from datetime import datetime
from typing import Any

from reqtrail.context import get_request_id
from reqtrail.metrics import Counter, Histogram

PUBLISHED_AT = "reqtrail_published_at"
"""The header with the time of the publish: seconds since the epoch, of the publisher's clock."""

_EXEMPLAR_ROOM = 128 - len("request_id")
_LABELS = ("task", "queue")

_ended = Counter("celery_tasks", "Runs of tasks that ended, by state.", (*_LABELS, "state"))
_failures = Counter("celery_task_failures", "Tasks that failed, by the class of the error.", (*_LABELS, "error_type"))
_retries = Counter("celery_task_retries", "Runs of tasks that ended in a retry.", _LABELS)
_sent = Counter("celery_tasks_sent", "Tasks that were published.", _LABELS)
_seconds = Histogram("celery_task_duration_seconds", "How long the runs of tasks took.", _LABELS)
_wait = Histogram(
    "celery_task_queue_wait_seconds", "From the publish, or the ETA where that is later, to the start.", _LABELS
)
_rejected_ids = Counter("reqtrail_task_request_ids_rejected", "Ids in messages that were no request ids.")


def count_sent(task: str, routing_key: str | None) -> None:
    """Count a publish that the broker took."""
    _sent.labels(task, routing_key or "").inc(1, _exemplar())


def count_rejected_id() -> None:
    """Count an id from the broker that was replaced."""
    _rejected_ids.inc()


def observe_wait(task: str, request: Any) -> None:
    """Record how long a message waited. Nothing where that is unknown: no time in it, a redelivery, an eager task."""
    published_at = request.get(PUBLISHED_AT)
    if published_at is None:  # protocol 1 keeps headers apart
        published_at = (request.headers or {}).get(PUBLISHED_AT)
    delivery = request.delivery_info or {}
    if type(published_at) is not float or not math.isfinite(published_at):
        return
    if delivery.get("redelivered") or request.is_eager:
        return
    due = _due(request.eta)
    if due is not None:
        _wait.labels(task, queue_of(request)).observe(max(0.0, time.time() - max(published_at, due)), _exemplar())


def count_end(task: str, request: Any, state: str, error: Any, seconds: float | None) -> None:
    """Count the end of a run. `seconds` is None where it did not run, or its process was killed."""
    queue, exemplar = queue_of(request), _exemplar()
    _ended.labels(task, queue, state).inc(1, exemplar)
    if state == "FAILURE":
        _failures.labels(task, queue, type(error).__name__).inc(1, exemplar)
    elif state == "RETRY":
        _retries.labels(task, queue).inc(1, exemplar)
    if seconds is not None:
        _seconds.labels(task, queue).observe(seconds, exemplar)


def queue_of(request: Any) -> str:
    """Return the routing key by which the message came: the queue's name, unless it is routed by an exchange."""
    delivery = request.delivery_info
    return str(delivery.get("routing_key") or "") if isinstance(delivery, dict) else ""


def _due(eta: Any) -> float | None:
    """Return when a task may start: 0 without an ETA, None where the ETA cannot be read."""
    if eta is None:
        return 0.0
    try:
        due = datetime.fromisoformat(eta.replace("Z", "+00:00")) if isinstance(eta, str) else eta
        return due.timestamp() if due.tzinfo is not None else None
    except (AttributeError, ValueError, OverflowError):
        return None


def _exemplar() -> dict[str, str] | None:
    request_id = get_request_id()
    return {"request_id": request_id} if request_id and len(request_id) <= _EXEMPLAR_ROOM else None
