"""The application inside must see what it would see without the middleware: each test runs both and compares."""

import asyncio
import collections.abc
import traceback
import types
from collections.abc import Callable, Generator
from typing import Any

import pytest

import reqtrail
from tests.pyext.asgi.driver import http_scope, start


@types.coroutine
def suspend(value: object) -> Generator[object, object, object]:
    return (yield value)


class Awaitable:
    """Awaited by its __await__; `events` is shared with the test."""

    def __init__(self, events: list[object]) -> None:
        self.events = events

    def __await__(self) -> Generator[object, object, str]:
        try:
            self.events.append((yield "first"))
            self.events.append((yield "second"))
        except BaseException as error:
            self.events.append(repr(error))
            raise
        finally:
            self.events.append("finally")
        return "returned"


class BareIterator:
    """An iterator and nothing else: no send, no throw, no close."""

    def __init__(self) -> None:
        self.left = [1, 2]

    def __await__(self) -> "BareIterator":
        return self

    def __iter__(self) -> "BareIterator":
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration("end")
        return self.left.pop(0)


async def _coroutine(events: list[object]) -> Any:
    return await Awaitable(events)


@types.coroutine
def _generator_based(events: list[object]) -> Generator[object, object, str]:
    return (yield from Awaitable(events).__await__())


async def _stubborn(events: list[object]) -> str:
    try:
        await suspend("first")
    except (asyncio.CancelledError, GeneratorExit) as error:
        events.append(repr(error))
    await suspend("went on")
    return "ended"


async def _translates(events: list[object]) -> None:
    try:
        await suspend("first")
    except BaseException as error:
        raise LookupError("translated") from error


async def _raises_stop_iteration(events: list[object]) -> None:
    await suspend("first")
    raise StopIteration("escaped")


def _raises_in_the_call(events: list[object]) -> Any:
    raise RuntimeError("before any step")


APPLICATIONS: list[Callable[[list[object]], Any]] = [
    _coroutine,
    _generator_based,
    Awaitable,
    _stubborn,
    _translates,
    _raises_stop_iteration,
    lambda events: BareIterator(),
]
ERROR = ValueError("thrown")
STEPS: list[list[tuple[str, tuple[Any, ...]]]] = [
    [("send", (None,))] * 4,
    [("send", (None,)), ("send", ("a value",)), ("send", ("another",)), ("send", (None,))],
    [("send", ("too early",)), ("send", (None,))],
    [("send", (None,)), ("throw", (asyncio.CancelledError("gone"),)), ("send", (None,)), ("send", (None,))],
    [("send", (None,)), ("throw", (ERROR,)), ("throw", (ERROR,))],
    [("send", (None,)), ("close", ()), ("close", ()), ("send", (None,))],
    [("close", ()), ("send", (None,))],
    [("throw", (ERROR,)), ("send", (None,))],
    [("send", (None,)), ("throw", ("no exception",))],
]


def _outcome(step: Callable[..., Any], args: tuple[Any, ...]) -> object:
    try:
        return ("yielded", step(*args))
    except BaseException as error:
        return (type(error), str(error), getattr(error, "value", None), repr(error.__cause__))


async def _await(application: Callable[[list[object]], Any], events: list[object]) -> Any:
    return await application(events)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_application_sees_what_it_sees_inside_a_plain_coroutine(
    application: Callable[[list[object]], Any], steps: list[tuple[str, tuple[Any, ...]]]
) -> None:
    without_events: list[object] = []
    without: Any = _await(application, without_events)
    with_events: list[object] = []
    with_: Any = start(lambda scope, receive, send: application(with_events))
    for method, args in steps:
        outcome = _outcome(getattr(with_, method), args)
        expected = _outcome(getattr(without, method), args)
        if application is _raises_stop_iteration and isinstance(expected, tuple) and expected[0] is RuntimeError:
            assert outcome[:2] == expected[:2]  # type: ignore[index]  # a tuple as well
        else:
            assert outcome == expected
        assert with_events == without_events
    assert _outcome(with_.close, ()) == _outcome(without.close, ())
    assert with_events == without_events


@pytest.mark.parametrize("application", [_coroutine, _stubborn, _translates])
def test_a_generator_exit_thrown_into_it_reaches_the_application(
    application: Callable[[list[object]], Any],
) -> None:
    without_events: list[object] = []
    without = application(without_events)
    with_events: list[object] = []
    with_: Any = start(lambda *_: application(with_events))
    for method, args in [("send", (None,)), ("throw", (GeneratorExit(),)), ("send", (None,))]:
        assert _outcome(getattr(with_, method), args) == _outcome(getattr(without, method), args)
        assert with_events == without_events


def test_an_exception_before_the_first_step_comes_from_the_first_step() -> None:
    awaitable: Any = start(lambda *_: _raises_in_the_call([]))
    with pytest.raises(RuntimeError, match="before any step"):
        awaitable.send(None)
    assert reqtrail.get_request_id() is None


@pytest.mark.parametrize("returned", [None, 5, iter([])])
async def test_an_application_that_returns_no_awaitable_gets_the_error_of_await(returned: Any) -> None:
    async def without() -> None:
        await returned

    with pytest.raises(TypeError) as expected:
        await without()
    with pytest.raises(TypeError) as raised:
        await start(lambda *_: returned)
    assert str(raised.value) == str(expected.value)


async def test_a_future_is_awaited() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await start(lambda *_: future)
    assert future.done()


async def test_an_exception_keeps_its_identity_its_traceback_and_its_context() -> None:
    error = ValueError("mine")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise error  # noqa: B904 - the implicit context is what is compared

    with pytest.raises(ValueError, match="mine") as raised:
        await start(app)
    assert raised.value is error
    assert isinstance(error.__context__, KeyError)
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "app"


async def test_a_timeout_around_it_cancels_the_application_and_only_that() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(start(app), 0.01)
    assert seen == ["cancelled"]


async def test_it_can_be_a_task_and_be_cancelled_as_one() -> None:
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await asyncio.sleep(60)

    awaitable = start(app)
    assert isinstance(awaitable, collections.abc.Coroutine)
    task = asyncio.create_task(awaitable)
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_is_not_awaited_twice_nor_entered_again() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ValueError, match="already executing"):
            scope["itself"].send(None)
        with pytest.raises(ValueError, match="already executing"):
            scope["itself"].close()

    scope = http_scope()
    awaitable = start(app, scope)
    scope["itself"] = awaitable
    await awaitable
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await awaitable
    scope.clear()


def test_a_request_that_is_dropped_in_the_middle_runs_the_clean_up_of_the_application() -> None:
    events: list[object] = []
    awaitable: Any = start(lambda *_: _coroutine(events))
    awaitable.send(None)
    assert reqtrail.get_request_id() is not None
    del awaitable
    assert events == ["GeneratorExit()", "finally"]
    assert reqtrail.get_request_id() is None
