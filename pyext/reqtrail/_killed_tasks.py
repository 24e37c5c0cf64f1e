"""Tasks whose process was killed: told by the main process of the worker, where no signal says which message it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import bootsteps
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.utils.imports import symbol_by_name

_KILLED = (TimeLimitExceeded, WorkerLostError)
_ending: ContextVar[Any] = ContextVar("reqtrail_ending_request", default=None)


def claim_killed(task_id: str, exception: object) -> Any:
    """Return the celery.worker.request.Request of a task that failed because it was killed, once; else None.

    Celery announces a hard time limit twice, and other failures in the process that ran the task.
    """
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
        self._known: dict[type, type] = {}
        for task in worker.app.tasks.values():
            task.Request = self._knowing(symbol_by_name(task.Request))

    def _knowing(self, request_type: type) -> type:
        if issubclass(request_type, _Known):
            return request_type
        if request_type not in self._known:
            self._known[request_type] = type(request_type.__name__, (_Known, request_type), {})
        return self._known[request_type]
