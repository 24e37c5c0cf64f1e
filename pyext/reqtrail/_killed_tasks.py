"""Tasks whose process was killed: told by the main process of the worker, where no signal says which message it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import bootsteps
from celery.app.task import Context
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.utils.imports import symbol_by_name
from celery.worker import state

from reqtrail import _task_log
from reqtrail._faults import report_fault
from reqtrail._task_hooks import hooks

_KILLED = (TimeLimitExceeded, WorkerLostError)
_ending: ContextVar[Any] = ContextVar("reqtrail_ending_request", default=None)


def tell_killed(task: Any, task_id: str, exception: object) -> None:
    """Tell of the end of a task that failed because it was killed, once. Does nothing about other failures.

    Celery announces a hard time limit twice, and other failures in the process that ran the task.
    """
    try:
        request = _claimed(task_id, exception) if hooks.follows(task.app) else None
        if request is not None:
            hooks.tell_end(task, task_id, Context(request.request_dict), "FAILURE", exception)
            _task_log.mark_as_logged(exception)
    except Exception as error:
        report_fault("celery task failure", error)


def _claimed(task_id: str, exception: object) -> Any:
    """The celery.worker.request.Request of a task that was killed and is not told yet; else None."""
    request = _ending.get()
    if not isinstance(exception, _KILLED) or request is None or request.id != task_id:
        return None
    if vars(request).setdefault("_reqtrail_told", exception) is not exception:
        return None
    return request


class _Known:
    """What a Request tells about its end, with the request known meanwhile."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        with _known(self):
            return super().on_failure(*args, **kwargs)  # type: ignore[misc]  # of the Request that this is put before

    def on_timeout(self, *args: Any, **kwargs: Any) -> Any:
        with _known(self):
            return super().on_timeout(*args, **kwargs)  # type: ignore[misc]  # of the Request that this is put before


class _KnownGreen(_Known):
    """The same of a task in a greenlet: a hard time limit is all of its end, of which older Celery sends no signal."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        super().on_timeout(soft, timeout)
        if not soft and not state.should_terminate:
            with _known(self):
                tell_killed(self.task, self.id, TimeLimitExceeded(timeout))  # type: ignore[attr-defined]


@contextmanager
def _known(request: Any) -> Iterator[None]:
    token = _ending.set(request)
    try:
        yield
    finally:
        _ending.reset(token)


class KnowRequests(bootsteps.Step):  # type: ignore[misc]  # Celery ships no types
    """Gives each task of the worker's application a Request that knows itself when it ends."""

    def __init__(self, worker: Any, **_: Any) -> None:
        self._mixin = _KnownGreen if worker.pool_cls.is_green else _Known
        self._known: dict[type, type] = {}
        for task in worker.app.tasks.values():
            task.Request = self._knowing(symbol_by_name(task.Request))

    def _knowing(self, request_type: type) -> type:
        if issubclass(request_type, _Known):
            return request_type
        if request_type not in self._known:
            self._known[request_type] = type(request_type.__name__, (self._mixin, request_type), {})
        return self._known[request_type]
