"""The two ways of an access line: straight to the one handler that writes it, or as a record through logging."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import reqtrail
from reqtrail.logging import JSONFormatter, JSONHandler
from tests.pyext.json_log.records_made import records_made

ACCESS = logging.getLogger("reqtrail.access")
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Gives the access logger a `JSONHandler` of its own and nothing else; returns the lines since the last call."""
    level = ACCESS.level
    handler = JSONHandler(path)
    monkeypatch.setattr(ACCESS, "parent", logging.Logger("parent"))  # pytest has handlers of its own at the root
    ACCESS.setLevel(logging.INFO)
    ACCESS.addHandler(handler)
    assert ACCESS.isEnabledFor(logging.INFO)  # which it remembers: until then every line is a record
    read = 0

    def lines() -> list[dict[str, Any]]:
        nonlocal read
        new = path.read_text().splitlines()[read:]
        read += len(new)
        return [json.loads(line) for line in new]

    yield lines
    ACCESS.removeHandler(handler)
    ACCESS.setLevel(level)
    handler.close()


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    for route in ("/items/{number}", "/größe/{number}", "/100%s/{number}"):
        app.add_api_route(route, lambda number: number)
    return TestClient(app)


async def _ask(client: TestClient, path: str, **options: Any) -> None:
    """A request whose application runs in this thread."""
    transport = httpx.ASGITransport(client.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
        await asking.request(options.pop("method", "GET"), path, **options)


def _request(client: TestClient, path: str = "/items/1", **options: Any) -> list[str]:
    """The names of the loggers of which a record was made for the access line."""
    with records_made() as made:
        asyncio.run(_ask(client, path, **options))
    return [name for name in made if name == ACCESS.name]


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ("/items/1", {}),
        ("/items/1", {"headers": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}),
        ("/items/1", {"method": "BREW"}),
        ("/gr%C3%B6%C3%9Fe/1", {}),
        ("/100%25s/1", {}),
        ("/nowhere", {}),
    ],
)
def test_both_ways_write_the_same(client: TestClient, log: Log, asked: str, options: dict[str, Any]) -> None:
    options.setdefault("headers", {})["X-Request-ID"] = "the-same"
    assert _request(client, asked, **options) == []
    ACCESS.addHandler(another := logging.NullHandler())
    try:
        assert _request(client, asked, **options) == [ACCESS.name]
    finally:
        ACCESS.removeHandler(another)
    straight, through = log()
    for line in (straight, through):
        assert 0 < line.pop("duration") < 60
    times = [straight.pop("time"), through.pop("time")]
    assert times == sorted(times)
    assert straight == through
    assert list(straight) == list(through)
    assert straight["request_id"] == "the-same"


class _Collecting(logging.Handler):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


@contextmanager
def _handler(logger: logging.Logger, seen: list[str]) -> Iterator[None]:
    logger.addHandler(handler := _Collecting(seen))
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _parent() -> logging.Logger:
    assert ACCESS.parent is not None
    return ACCESS.parent


def _noting(seen: list[str]) -> Callable[[logging.LogRecord], bool]:
    def note(record: logging.LogRecord) -> bool:
        seen.append(record.getMessage())
        return True

    return note


@contextmanager
def _filter(of: logging.Filterer, seen: list[str]) -> Iterator[None]:
    of.addFilter(note := _noting(seen))
    try:
        yield
    finally:
        of.removeFilter(note)


@contextmanager
def _record_factory(seen: list[str]) -> Iterator[None]:
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        seen.append(record.getMessage())
        return record

    logging.setLogRecordFactory(factory)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


@contextmanager
def _replaced(owner: Any, name: str, seen: list[str]) -> Iterator[None]:
    """As tools that watch a process do it, which put a function of their own in the place of logging's."""
    before = getattr(owner, name)
    is_own = name in vars(owner)

    def noting(*args: Any, **kwargs: Any) -> Any:
        if owner is not logging.Logger or args[0] is ACCESS:
            seen.append(name)
        return before(*args, **kwargs)

    setattr(owner, name, noting)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def _subclass(seen: list[str], path: Path) -> Iterator[None]:
    class Emitting(JSONHandler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            super().emit(record)

    (before,) = ACCESS.handlers
    ACCESS.handlers[:] = [Emitting(path)]
    try:
        yield
    finally:
        ACCESS.handlers[:] = [before]


@contextmanager
def _formatter(seen: list[str]) -> Iterator[None]:
    class Formatting(JSONFormatter):
        def format(self, record: logging.LogRecord) -> str:
            seen.append(record.getMessage())
            return super().format(record)

    (handler,) = ACCESS.handlers
    handler.setFormatter(Formatting())
    try:
        yield
    finally:
        handler.setFormatter(None)


_WATCHERS: dict[str, Callable[[list[str], Path], Any]] = {
    "another handler": lambda seen, _: _handler(ACCESS, seen),
    "a handler of the parent": lambda seen, _: _handler(_parent(), seen),
    "a filter of the logger": lambda seen, _: _filter(ACCESS, seen),
    "a filter of the handler": lambda seen, _: _filter(ACCESS.handlers[0], seen),
    "a record factory": lambda seen, _: _record_factory(seen),
    "callHandlers of all loggers": lambda seen, _: _replaced(logging.Logger, "callHandlers", seen),
    "handle of all loggers": lambda seen, _: _replaced(logging.Logger, "handle", seen),
    "makeRecord of all loggers": lambda seen, _: _replaced(logging.Logger, "makeRecord", seen),
    "isEnabledFor of all loggers": lambda seen, _: _replaced(logging.Logger, "isEnabledFor", seen),
    "filter of all loggers": lambda seen, _: _replaced(logging.Logger, "filter", seen),
    "handle of the handler": lambda seen, _: _replaced(ACCESS.handlers[0], "handle", seen),
    "handle of all handlers": lambda seen, _: _replaced(JSONHandler, "handle", seen),
    "handle of this logger": lambda seen, _: _replaced(ACCESS, "handle", seen),
    "emit of a subclass": _subclass,
    "format of a subclass": lambda seen, _: _formatter(seen),
}


@pytest.mark.parametrize("watcher", _WATCHERS)
def test_whoever_looks_at_records_gets_to_see_them(client: TestClient, log: Log, path: Path, watcher: str) -> None:
    seen: list[str] = []
    assert _request(client) == []
    with _WATCHERS[watcher](seen, path):
        assert _request(client) == [ACCESS.name]
    assert _request(client) == []
    assert len(seen) == 1
    assert [line["message"] for line in log()] == ["GET /items/{number} 200"] * 3


def test_a_level_has_its_present_name(client: TestClient, log: Log) -> None:
    for name in ("Information", "INFO"):
        logging.addLevelName(logging.INFO, name)
        assert _request(client) == []
        assert [line["level"] for line in log()] == [name]


_ENDING = """
import logging, sys, threading, time
from fastapi import FastAPI
import reqtrail
from reqtrail.logging import JSONHandler

access = logging.getLogger("reqtrail.access")
access.handlers, access.propagate = [JSONHandler("/dev/null")], False
access.setLevel(logging.INFO)
if sys.argv[1] == "through":
    access.addHandler(logging.NullHandler())

async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

app = FastAPI()
app.mount("/", inner)
reqtrail.install(app, log_level=None)
served = threading.Event()

async def ignore(message): ...

def serve():
    while True:
        try:
            scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "root_path": ""}
            app(scope, None, ignore).send(None)
        except StopIteration:
            served.set()

threading.Thread(target=serve, daemon=True).start()
served.wait()
time.sleep(0.05)
"""


@pytest.mark.parametrize("way", ["straight", "through"])
def test_a_thread_that_serves_while_the_interpreter_ends_does_not_end_it_with_a_signal(way: str) -> None:
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", _ENDING, way], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_second_handler_of_ours_gets_its_line_too(client: TestClient, path: Path, log: Log) -> None:
    for logger in (ACCESS, _parent()):
        logger.addHandler(second := JSONHandler(path))
        _request(client)
        logger.removeHandler(second)
        assert len(log()) == 2


def test_levels_count_at_once(client: TestClient, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    (handler,) = ACCESS.handlers
    _request(client)
    assert len(log()) == 1
    handler.setLevel(2**63)
    _request(client)
    assert log() == []
    handler.setLevel(logging.NOTSET)
    for set_level, level in ((handler.setLevel, logging.NOTSET), (ACCESS.setLevel, logging.INFO)):
        set_level(logging.WARNING)
        _request(client)
        assert log() == []
        set_level(level)
        _request(client)
        assert len(log()) == 1
    monkeypatch.setattr(ACCESS, "disabled", True)
    _request(client)
    assert log() == []


def test_the_handler_may_be_that_of_a_parent(client: TestClient, path: Path, log: Log) -> None:
    (handler,) = ACCESS.handlers
    ACCESS.handlers[:] = []
    _parent().handlers[:] = [handler]
    try:
        assert _request(client) == []
        assert len(log()) == 1
        ACCESS.propagate = False
        _request(client)
        assert log() == []
    finally:
        ACCESS.propagate = True
        ACCESS.handlers[:] = [handler]


def test_noisy_endpoints_are_sampled(client: TestClient, path: Path, log: Log) -> None:
    (before,) = ACCESS.handlers
    ACCESS.handlers[:] = [JSONHandler(path, sample={"/items/{number}": 0.5, "*": 0})]
    try:
        for _ in range(10):
            assert _request(client) == []
        assert _request(client, "/nowhere") == []  # an error passes
    finally:
        ACCESS.handlers[:] = [before]
    assert [line["status_code"] for line in log()] == [200] * 5 + [404]


def test_a_line_that_cannot_be_written_is_counted_and_the_request_goes_on(client: TestClient, log: Log) -> None:
    (before,) = ACCESS.handlers
    ACCESS.handlers[:] = [JSONHandler("/dev/full")]
    dropped = reqtrail.logging.dropped().get("disk_full", 0)
    try:
        assert client.get("/items/1").status_code == 200
    finally:
        ACCESS.handlers[:] = [before]
    assert reqtrail.logging.dropped()["disk_full"] == dropped + 1
    assert log() == []
