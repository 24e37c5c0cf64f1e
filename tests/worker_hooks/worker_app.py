"""The Celery application that the tests run a real worker of: its tasks return what they see."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain
from celery.exceptions import Ignore, Reject
from sqlalchemy import create_engine, text

import reqtrail
import reqtrail.sqlalchemy

NOWHERE = "redis://127.0.0.1:1/0"
# Celery publishes a retry before it stores that there is one: another process that is quicker would have its SUCCESS
# overwritten, and the result would never be there.
RETRY_DELAY = 0.1

app = Celery(
    "worker_app",
    broker=os.environ.get("WORKER_APP_BROKER", NOWHERE),
    backend=os.environ.get("WORKER_APP_RESULTS", NOWHERE),
)
app.conf.update(broker_connection_retry_on_startup=True, task_send_sent_event=False)
logger = logging.getLogger("worker_app")

if "WORKER_APP_RESTORES_AT_ONCE" in os.environ:  # so that Redis soon gives what a worker took to another one
    app.conf.broker_transport_options = {
        "visibility_timeout": 1,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
if "WORKER_APP_MAX_PRIORITY" in os.environ:  # RabbitMQ then makes queues that hand out the most urgent message first
    app.conf.task_queue_max_priority = int(os.environ["WORKER_APP_MAX_PRIORITY"])
if "WORKER_APP_BEAT" in os.environ:
    app.conf.beat_schedule = {"look": {"task": "tests.worker_hooks.worker_app.look", "schedule": 1.0}}

reqtrail.celery.install(app, queue_depth_interval=0.2)


def seen(task: Any) -> dict[str, Any]:
    """What a running task sees of its request."""
    return {
        "current": reqtrail.get_request_id(),
        "header": task.request.get("request_id"),
        "traceparent": reqtrail.get_traceparent(),
        "retries": task.request.retries,
        "headers": task.request.headers,
    }


@app.task(bind=True)  # type: ignore[untyped-decorator]  # Celery ships no types
def look(self: Any, *_: Any, wait: float = 0.0) -> dict[str, Any]:
    before = seen(self)
    time.sleep(wait)
    after = seen(self)
    logger.info("looking")
    return {**before, "unchanged": before == after, "thread": threading.get_ident(), "pid": os.getpid()}


@app.task(bind=True)  # type: ignore[untyped-decorator]
def nested(self: Any) -> str:
    """Publish from inside a task, and return the id of the published one."""
    return str(look.delay().id)


@app.task(bind=True, max_retries=3)  # type: ignore[untyped-decorator]
def retried(self: Any) -> dict[str, Any]:
    if self.request.retries < 2:
        raise self.retry(countdown=RETRY_DELAY)
    return seen(self)


@app.task(bind=True, autoretry_for=(LookupError,), max_retries=2, default_retry_delay=RETRY_DELAY)  # type: ignore[untyped-decorator]
def retried_by_itself(self: Any) -> dict[str, Any]:
    if self.request.retries < 2:
        raise LookupError("not yet")
    return seen(self)


@app.task(bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def without_result(self: Any) -> dict[str, Any]:
    return seen(self)


@app.task(bind=True, rate_limit="1/s")  # type: ignore[untyped-decorator]
def limited(self: Any) -> dict[str, Any]:
    return seen(self)


@app.task(bind=True)  # type: ignore[untyped-decorator]
def replaced(self: Any) -> Any:
    """Let another task take its place."""
    return self.replace(look.si())


class CountingTask(app.Task):  # type: ignore[misc, name-defined]
    """A task class of an application, with the methods that such classes have."""

    begun = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return {**super().__call__(*args, **kwargs), "in_call": reqtrail.get_request_id()}

    def before_start(self, *_: Any) -> None:
        self.begun += 1


@app.task(base=CountingTask, bind=True)  # type: ignore[untyped-decorator]
def of_own_class(self: Any) -> dict[str, Any]:
    return {**seen(self), "begun": self.begun}


@app.task  # type: ignore[untyped-decorator]
def refuse(how: str) -> None:
    """End without a result."""
    raise {"REJECTED": Reject("no", requeue=False), "IGNORED": Ignore()}[how]


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]
def killed_once(self: Any) -> dict[str, Any]:
    """End its process, unless it is delivered for the second time."""
    if not self.request.delivery_info["redelivered"]:
        os._exit(9)
    return seen(self)


@app.task(bind=True, acks_late=True)  # type: ignore[untyped-decorator]
def late(self: Any, path: str) -> dict[str, Any]:
    """Never end while there is no file of this name; make it."""
    if not Path(path).exists():
        Path(path).touch()
        time.sleep(600)
    return seen(self)


@app.task  # type: ignore[untyped-decorator]
def fail() -> None:
    raise ValueError("no such repository")


@app.task(throws=(KeyError,))  # type: ignore[untyped-decorator]
def fail_as_expected() -> None:
    raise KeyError("expected")


@app.task  # type: ignore[untyped-decorator]
def own_statement(port: int) -> str:
    """What PostgreSQL at this port says that the task runs."""
    engine = create_engine(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
    reqtrail.sqlalchemy.install(engine, tags=("route", "task"))
    with engine.connect() as connection:
        query = connection.scalar(text("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"))
    engine.dispose()
    return str(query)


@app.task(time_limit=1)  # type: ignore[untyped-decorator]
def sleep_too_long() -> None:
    time.sleep(60)


@app.task  # type: ignore[untyped-decorator]
def die() -> None:
    os._exit(9)


@app.task(bind=True)  # type: ignore[untyped-decorator]
def eager_inside(self: Any) -> list[Any]:
    """Run a task in place and return the ids before, inside and after."""
    before = reqtrail.get_request_id()
    inside = look.apply().result["current"]
    return [before, inside, reqtrail.get_request_id()]


def two_in_a_chain() -> Any:
    """A canvas of two tasks, of which the worker publishes the second."""
    return chain(look.si(), look.si())
