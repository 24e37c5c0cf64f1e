"""Microseconds that the hooks add to the publish and the run of one task, ours and OpenTelemetry's, in one run.

Measured are the four signals that Celery sends for a task, as it sends them, without broker and result: with receivers
less without. The log line of the task is off, as under Celery's default level, or is written as JSON to /dev/null.
"""

import gc
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from celery import Celery, signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import reqtrail.logging
from reqtrail import celery as hooks
from reqtrail import metrics
from tests.performance.report import BenchRow

ROUNDS = 100
TASKS = 50
GOAL_US = 5.0


def _task() -> Any:
    app = Celery("bench", broker="memory://", set_as_current=False)

    @app.task(name="bench.nothing")  # type: ignore[untyped-decorator]  # Celery ships no types
    def nothing() -> None:
        pass

    app.finalize()
    return app.tasks[nothing.name]  # not the proxy for it, which is slower


def _publish_and_run(task: Any) -> None:
    task_id = str(uuid.uuid4())
    headers: dict[str, Any] = {"id": task_id, "task": task.name, "root_id": task_id, "eta": None, "retries": 0}
    delivery = {"exchange": "", "routing_key": "celery", "redelivered": False}
    sent: dict[str, Any] = {"exchange": "", "routing_key": "celery", "headers": headers, "body": ((), {}, {})}
    signals.before_task_publish.send(sender=task.name, properties={}, declare=[], retry_policy={}, **sent)
    signals.after_task_publish.send(sender=task.name, **sent)
    task.push_request(**headers, delivery_info=delivery, called_directly=False)
    named = {"sender": task, "task_id": task_id, "task": task, "args": (), "kwargs": {}}
    signals.task_prerun.send(**named)
    signals.task_postrun.send(retval=None, state="SUCCESS", **named)
    task.pop_request()


def _microseconds(task: Any) -> float:
    gc.collect()
    started = time.perf_counter_ns()
    for _ in range(TASKS):
        _publish_and_run(task)
    return (time.perf_counter_ns() - started) / TASKS / 1000


def _added(task: Any, connect: Callable[[], None], disconnect: Callable[[], None]) -> tuple[float, float]:
    """What the hooks add in the fastest round, and half the spread of it over the fifths of the rounds, as a part."""
    with_, without = [], []
    for _ in range(ROUNDS):
        without.append(_microseconds(task))
        connect()
        with_.append(_microseconds(task))
        disconnect()
    added = min(with_) - min(without)
    fifths = [min(with_[n::5]) - min(without[n::5]) for n in range(5)]
    return round(added, 2), round((max(fifths) - min(fifths)) / 2 / added, 3)


def rows() -> list[BenchRow]:
    """Measure, with the metrics in a segment of its own unless this process has one already."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("REQTRAIL_METRICS_DIR", directory)
        metrics.open_segment()
        task = _task()
        logger = logging.getLogger("reqtrail.task")
        logger.setLevel(logging.WARNING)
        without_line = _added_by_ours(task)
        logger.setLevel(logging.INFO)
        reqtrail.logging.setup(file="/dev/null")
        with_line = _added_by_ours(task)
        reqtrail.logging.reset()
        peer = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # untyped there
        provider = TracerProvider()
        theirs, _ = _added(task, lambda: peer.instrument(tracer_provider=provider), peer.uninstrument)
    return [
        _row("Celery hooks, publish + run", without_line, theirs),
        _row("Celery hooks, publish + run, with the log line", with_line, theirs),
    ]


def _added_by_ours(task: Any) -> tuple[float, float]:
    return _added(task, lambda: hooks.install(task.app, json_logs=False), lambda: hooks.uninstall(task.app))


def _row(name: str, ours: tuple[float, float], theirs: float) -> BenchRow:
    added, spread = ours
    return {
        "name": name,
        "unit": "us added to a task",
        "ours": added,
        "goal": GOAL_US,
        "better": "lower",
        "peers": {f"opentelemetry-instrumentation-celery {version('opentelemetry-instrumentation-celery')}": theirs},
        "spread": spread,
        "command": "build/venv/bin/python -m tests.performance celery_hooks",
    }
