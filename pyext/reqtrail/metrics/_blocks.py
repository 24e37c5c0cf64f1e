"""What `time()`, `count_exceptions()` and `track_inprogress()` return: decorators that are context managers as well.

As decorators of a coroutine function they span its awaits, which those of prometheus_client do not.
"""

import functools
import inspect
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


class _Incremented(Protocol):
    def inc(self) -> None: ...


class _UpAndDown(_Incremented, Protocol):
    def dec(self) -> None: ...


class _Block:
    """One with-block, and what wraps a function into one."""

    __slots__ = ()

    def _fresh(self) -> "_Block":
        """Return what the next call of a decorated function enters: calls may overlap."""
        return self

    def __enter__(self) -> object:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def __call__(self, function: _Function) -> _Function:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self._fresh():
                    return await function(*args, **kwargs)

            return cast("_Function", awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return cast("_Function", called)


class ExceptionCounter(_Block):
    """Counts the exceptions that leave a block or function. They are passed on."""

    __slots__ = ("_counter", "_exception")

    def __init__(self, counter: _Incremented, exception: ExceptionTypes) -> None:
        self._counter = counter
        self._exception = exception

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, self._exception):
            self._counter.inc()


class InprogressTracker(_Block):
    """Holds a gauge one higher while a block or function runs."""

    __slots__ = ("_gauge",)

    def __init__(self, gauge: _UpAndDown) -> None:
        self._gauge = gauge

    def __enter__(self) -> None:
        self._gauge.inc()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gauge.dec()


class Timer(_Block):
    """Measures how long a block or function takes, in seconds."""

    __slots__ = ("_callback_name", "_metric", "_start", "duration")

    def __init__(self, metric: Any, callback_name: str) -> None:
        self._metric = metric
        self._callback_name = callback_name
        self._start = 0.0
        self.duration: float | None = None

    def _fresh(self) -> "Timer":
        return Timer(self._metric, self._callback_name)

    def labels(self, *labelvalues: object, **labelkwargs: object) -> None:
        """Choose the labels, at the latest before the block ends. Raises ValueError as `labels()` of a metric."""
        self._metric = self._metric.labels(*labelvalues, **labelkwargs)

    def __enter__(self) -> "Timer":
        self._start = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.duration = max(perf_counter() - self._start, 0.0)
        getattr(self._metric, self._callback_name)(self.duration)
