"""Which workers are up and what they run now: parts of gauges that go away with their process, however it ends."""

from typing import Any

from reqtrail.metrics import Gauge

_workers = Gauge("celery_workers_active", "Workers that are up.")
_up = Gauge("celery_worker_up", "1 while the worker is up, else 0.", ("hostname",))
_tasks = Gauge("celery_worker_tasks_active", "Tasks that workers are running now.")
_ready: set[str] = set()
"""The workers that run in this process, by node name: one, unless an application starts some in threads."""


def worker_is_up(hostname: str) -> None:
    """Tell that a worker takes tasks, from its main process. One that comes back from a lost broker is the same."""
    if hostname not in _ready:
        _ready.add(hostname)
        _workers.inc()
        _up.labels(hostname).inc()


def worker_is_down(hostname: str) -> None:
    """Tell that a worker has ended and its process has not. Does nothing for one that never was up."""
    if hostname in _ready:
        _ready.remove(hostname)
        _workers.dec()
        _up.labels(hostname).dec()


def task_begins(request: Any) -> None:
    """Count a task as running. An eager one runs in its caller, not in a worker."""
    if not request.is_eager:
        _tasks.inc()


def task_is_over(request: Any) -> None:
    """Undo `task_begins`."""
    if not request.is_eager:
        _tasks.dec()
