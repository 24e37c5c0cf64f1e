"""The options of the middleware about ids: where they come from, what may change them, and where they go."""

import asyncio
import logging
import queue
import threading
from logging.handlers import QueueHandler
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import TestClient

import reqtrail
from reqtrail import CorrelationIDMiddleware, _faults
from reqtrail._native import is_request_id
from tests.pyext.asgi.driver import Client, answer, call, http_scope
from tests.pyext.asgi.test_middleware import UUID4, plain

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
GIVEN = [(b"x-request-id", b"given")]


async def _request_headers(options: dict[str, Any], headers: Any) -> tuple[Any, Client]:
    """What the application sees as request headers, and the response."""
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        await answer(send)

    client = Client()
    await CorrelationIDMiddleware(inner, **options)(http_scope() | {"headers": headers}, client.receive, client.send)
    return seen[0], client


# ---- update_request_header ----


async def test_a_new_id_is_in_the_requests_own_header_and_the_servers_list_is_left_alone() -> None:
    given = [(b"host", b"x"), (b"X-Request-Id", b"not an id")]
    seen, client = await _request_headers({}, given)
    assert seen == [(b"host", b"x"), (b"x-request-id", client.request_id.encode())]
    assert given == [(b"host", b"x"), (b"X-Request-Id", b"not an id")]


async def test_an_id_of_the_client_stays_where_it_is() -> None:
    given = [(b"x-request-id", b"given"), (b"host", b"x")]
    seen, _ = await _request_headers({}, given)
    assert seen is given


async def test_without_update_request_header_the_request_stays_as_it_came() -> None:
    given = [(b"x-request-id", b"not an id")]
    seen, client = await _request_headers({"update_request_header": False}, given)
    assert seen is given
    assert UUID4.fullmatch(client.request_id)


# ---- validator, transformer, generator ----


async def test_a_validator_may_refuse_an_id_and_sees_only_those_that_are_one() -> None:
    seen: list[str] = []

    def validator(id_: str) -> bool:
        seen.append(id_)
        return id_.startswith("a")

    app = CorrelationIDMiddleware(plain, validator=validator)
    assert (await call(app, [(b"x-request-id", b"abc")])).request_id == "abc"
    for refused in (b"bcd", b"a b"):
        assert UUID4.fullmatch((await call(app, [(b"x-request-id", refused)])).request_id)
    assert seen == ["abc", "bcd"]


async def test_a_match_object_is_a_yes() -> None:
    app = CorrelationIDMiddleware(plain, validator=UUID4.fullmatch)
    uuid = "0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1"
    assert (await call(app, [(b"x-request-id", uuid.encode())])).request_id == uuid
    assert (await call(app, GIVEN)).request_id != "given"


async def test_a_transformer_changes_given_and_generated_ids() -> None:
    app = CorrelationIDMiddleware(plain, generator=lambda: "made", transformer=lambda id_: f"eu-{id_}")
    assert (await call(app, GIVEN)).request_id == "eu-given"
    assert (await call(app)).request_id == "eu-made"
    seen, _ = await _request_headers({"transformer": str.upper}, GIVEN)
    assert seen == [(b"x-request-id", b"GIVEN")]


def _raises(*_: Any) -> Any:
    raise OSError("no answer")


async def _coroutine(*_: Any) -> bool:
    return True


class AsyncYes:
    async def __call__(self, *_: Any) -> bool:
        return True


@pytest.mark.parametrize("option", ["validator", "trust_incoming"])
@pytest.mark.parametrize("answers", [_raises, lambda _: False, lambda _: "", AsyncYes()])
async def test_only_a_plain_yes_takes_the_clients_id(option: str, answers: Any) -> None:
    app = CorrelationIDMiddleware(plain, **{option: answers})
    assert UUID4.fullmatch((await call(app, GIVEN)).request_id)


@given(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.text("abc._-", min_size=1, max_size=140)))
def test_nothing_but_an_id_comes_from_generator_and_transformer(made: Any) -> None:
    expected = made if isinstance(made, str) and is_request_id(made) else None
    by_generator = asyncio.run(call(CorrelationIDMiddleware(plain, generator=lambda: made)))
    by_transformer = asyncio.run(call(CorrelationIDMiddleware(plain, transformer=lambda _: made), GIVEN))
    assert by_generator.request_id == expected or (expected is None and UUID4.fullmatch(by_generator.request_id))
    assert by_transformer.request_id == (expected or "given")
    for client in (by_generator, by_transformer):
        assert [name for name, _ in client.sent[0]["headers"]] == [b"content-type", b"x-request-id"]


def test_a_fault_of_a_callable_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(_faults, "_logged", set())
    options: dict[str, Any] = dict.fromkeys(("generator", "validator", "transformer", "trust_incoming"), _raises)
    for name, callable_ in options.items():
        asyncio.run(call(CorrelationIDMiddleware(plain, **{name: callable_}), [] if name == "generator" else GIVEN))
    told = [record.getMessage() for record in caplog.records if record.name == "reqtrail"]
    wheres = ("request id generator", "request id validator", "request id transformer", "trust_incoming")
    assert [next(where for where in wheres if where in message) for message in told] == list(wheres)


# ---- trust_incoming ----


async def test_an_id_and_a_traceparent_of_a_client_that_is_not_trusted_are_not_taken() -> None:
    app = CorrelationIDMiddleware(plain, trust_incoming=False)
    client = await call(app, [*GIVEN, (b"traceparent", TRACEPARENT.encode())])
    assert UUID4.fullmatch(client.request_id)


async def test_who_is_trusted_may_depend_on_the_scope() -> None:
    app = CorrelationIDMiddleware(plain, trust_incoming=lambda scope: scope["client"][0] == "10.0.0.1")
    assert (await call(app, GIVEN, client=("10.0.0.1", 5))).request_id == "given"
    assert (await call(app, GIVEN, client=("192.0.2.1", 5))).request_id != "given"
    assert UUID4.fullmatch((await call(app, GIVEN)).request_id)  # without a client the callable raises


# ---- expose_cors ----


@pytest.mark.parametrize(
    ("own", "exposed"),
    [
        ([], [b"X-Trail"]),
        ([(b"access-control-expose-headers", b"X-Other")], [b"X-Other", b"X-Trail"]),
        ([(b"Access-Control-Expose-Headers", b"X-Other, x-trail")], [b"X-Other, x-trail"]),
    ],
)
async def test_scripts_of_other_origins_may_read_the_header_if_told_so(own: Any, exposed: list[bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, headers=own)

    client = await call(CorrelationIDMiddleware(app, "X-Trail", expose_cors=True))
    assert client.values(b"access-control-expose-headers") == exposed
    assert (await call(CorrelationIDMiddleware(app, "X-Trail"))).values(b"access-control-expose-headers") == [
        value for _, value in own
    ]


# ---- traceparent ----


async def _seen(headers: list[tuple[bytes, bytes]]) -> tuple[str | None, str | None]:
    seen: list[tuple[str | None, str | None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((reqtrail.get_request_id(), reqtrail.get_traceparent()))
        await answer(send)

    client = await call(CorrelationIDMiddleware(app), headers)
    assert client.request_id == seen[0][0]
    assert reqtrail.get_traceparent() is None
    return seen[0]


async def test_without_a_request_id_the_trace_id_is_it() -> None:
    assert await _seen([(b"traceparent", TRACEPARENT.encode())]) == (TRACE, TRACEPARENT)


async def test_a_request_id_goes_before_the_traceparent_which_is_passed_on() -> None:
    assert await _seen([(b"traceparent", TRACEPARENT.encode()), *GIVEN]) == ("given", TRACEPARENT)


async def test_of_a_later_version_what_is_known_is_passed_on() -> None:
    later = f"cc{TRACEPARENT[2:-2]}ff" + '-"\r\nx: y'
    assert await _seen([(b"traceparent", later.encode())]) == (TRACE, TRACEPARENT)


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"Traceparent"]), st.binary(max_size=80)), max_size=3))
def test_what_is_no_traceparent_is_not_passed_on(headers: list[tuple[bytes, bytes]]) -> None:
    id_, traceparent = asyncio.run(_seen(headers))
    assert UUID4.fullmatch(id_ or "")
    assert traceparent is None


async def test_two_traceparents_are_none() -> None:
    assert (await _seen([(b"traceparent", TRACEPARENT.encode())] * 2))[1] is None


@pytest.mark.parametrize("trusting", [True, False])
async def test_a_request_without_one_that_begins_inside_another_request_has_none(trusting: bool) -> None:
    seen: list[str | None] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(reqtrail.get_traceparent())
        await answer(send)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        own = [] if trusting else [(b"traceparent", TRACEPARENT.encode())]
        await call(CorrelationIDMiddleware(inner, trust_incoming=trusting), own)
        seen.append(reqtrail.get_traceparent())
        await answer(send)

    await call(CorrelationIDMiddleware(outer), [(b"traceparent", TRACEPARENT.encode())])
    assert seen == [None, TRACEPARENT]


def test_the_trace_id_is_on_every_log_line() -> None:
    formatter = reqtrail.logging.JSONFormatter()
    lines: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        lines.append(formatter.format(logging.makeLogRecord({"msg": "inside"})))
        lines.append(formatter.format(logging.makeLogRecord({"msg": "its own", "trace_id": "t"})))
        await answer(send)

    asyncio.run(call(CorrelationIDMiddleware(app), [(b"traceparent", TRACEPARENT.encode()), *GIVEN]))
    lines.append(formatter.format(logging.makeLogRecord({"msg": "outside"})))
    assert f'"request_id":"given","trace_id":"{TRACE}"' in lines[0]
    assert lines[1].count("trace_id") == 1
    assert '"trace_id":"t"' in lines[1]
    assert "trace_id" not in lines[2]


# ---- request.state.logger ----


def test_the_requests_logger_knows_its_id_wherever_it_logs() -> None:
    app = FastAPI()
    records: queue.Queue[Any] = queue.Queue()
    logger = logging.getLogger("shop.requests")
    logger.setLevel("INFO")
    handler = QueueHandler(records)
    logger.addHandler(handler)
    reqtrail.install(app, log_level=None, logger="shop.requests")

    @app.get("/log")
    async def log(request: Request) -> None:
        request.state.logger.info("bought %d", 3, extra={"item": "tea"})
        thread = threading.Thread(target=request.state.logger.warning, args=("no context",))
        thread.start()
        thread.join()
        try:
            raise KeyError("x")
        except KeyError:
            request.state.logger.exception("failed")
        request.state.logger.log(logging.ERROR, "its own", extra={"request_id": "other"})
        request.state.logger.debug("too mild")
        assert request.state.logger.isEnabledFor(logging.INFO)
        assert request.state.logger.name == "shop.requests"
        with pytest.raises(TypeError):
            request.state.logger.info()

    assert TestClient(app).get("/log", headers={"X-Request-ID": "given"}).status_code == 200
    logger.removeHandler(handler)
    found = [records.get_nowait() for _ in range(records.qsize())]
    assert [(r.levelname, r.getMessage().split("\n")[0], r.request_id) for r in found] == [
        ("INFO", "bought 3", "given"),
        ("WARNING", "no context", "given"),
        ("ERROR", "failed", "given"),
        ("ERROR", "its own", "other"),
    ]
    assert (found[0].item, found[0].funcName) == ("tea", "log")
    assert "KeyError" in found[2].getMessage()


def _logged_in_a_thread(headers: list[tuple[bytes, bytes]], **extra: str) -> list[str]:
    """The lines that the logger of a request has written from a thread without its context."""
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        logger = scope["state"]["logger"]
        thread = threading.Thread(target=lambda: logger.warning("no context", extra=extra))
        thread.start()
        thread.join()
        await answer(send)

    logger = logging.Logger("of the test")
    logger.addHandler(handler := Collecting())
    handler.setFormatter(reqtrail.logging.JSONFormatter())
    asyncio.run(call(CorrelationIDMiddleware(app, logger=logger), headers))
    return lines


def test_the_requests_logger_knows_the_trace_id_wherever_it_logs() -> None:
    traced = [(b"traceparent", TRACEPARENT.encode()), *GIVEN]
    (line,) = _logged_in_a_thread(traced)
    assert f'"request_id":"given","trace_id":"{TRACE}"' in line
    (line,) = _logged_in_a_thread(traced, trace_id="its own")
    assert '"request_id":"given","trace_id":"its own"' in line
    (line,) = _logged_in_a_thread(list(GIVEN))
    assert "trace_id" not in line


def test_the_default_logger_is_named() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["state"]["logger"].name == "reqtrail.request"
        assert scope["state"]["logger"].request_id == scope["state"]["request_id"]
        await answer(send)

    asyncio.run(call(CorrelationIDMiddleware(app)))


# ---- wrong options ----


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"update_request_header": "no"}, "update_request_header must be a bool"),
        ({"expose_cors": 1}, "expose_cors must be a bool"),
        ({"generator": 5}, r"generator must be a callable \(\) -> str or None, not int"),
        ({"validator": "uuid"}, r"validator must be a callable \(id: str\) -> bool or None, not str"),
        ({"transformer": []}, r"transformer must be a callable \(id: str\) -> str or None, not list"),
        ({"validator": _coroutine}, "validator must be a callable .* that is not async"),
        ({"generator": _coroutine}, "generator must be a callable .* that is not async"),
        ({"trust_incoming": "10.0.0.1"}, "trust_incoming must be a bool or a callable"),
        ({"trust_incoming": _coroutine}, "trust_incoming must be a bool or a callable .* not async"),
        ({"logger": 5}, "logger must be a logging.Logger, the name of one or None, not int"),
        ({"header": "X-Request-ID"}, "header"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_given(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        CorrelationIDMiddleware(plain, **options)
    app = FastAPI()
    with pytest.raises(TypeError, match=says):
        reqtrail.install(app, log_level=None, **options)
    assert "x-request-id" not in TestClient(app).get("/").headers
