import asyncio
import contextvars
import copy
import ctypes
import functools
import gc
import inspect
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reqtrail
from reqtrail import CorrelationIDMiddleware
from reqtrail._native import is_request_id
from tests.pyext.asgi.driver import Client, answer, call, http_scope, start

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, headers=[(b"content-type", b"text/plain")])


async def test_a_valid_id_of_the_client_is_kept_and_echoed() -> None:
    client = await call(CorrelationIDMiddleware(plain), [(b"host", b"x"), (b"x-request-id", b"abc.DEF_1-2")])
    assert client.request_id == "abc.DEF_1-2"
    assert client.values(b"content-type") == [b"text/plain"]


async def test_a_request_without_an_id_gets_a_new_uuid_each_time() -> None:
    app = CorrelationIDMiddleware(plain)
    ids = {(await call(app)).request_id for _ in range(100)}
    assert len(ids) == 100
    assert all(UUID4.fullmatch(id_) for id_ in ids)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-request-id", b"")],
        [(b"x-request-id", b"a" * 129)],
        [(b"x-request-id", b"a b")],
        [(b"x-request-id", b"a\r\nset-cookie: x=1")],
        [(b"x-request-id", "é".encode())],
        [(b"x-request-id", b"one"), (b"x-request-id", b"two")],
        [(b"x-request-id", b"same"), (b"x-request-id", b"same")],
    ],
)
async def test_an_id_that_is_refused_is_replaced_by_a_new_one(headers: list[tuple[bytes, bytes]]) -> None:
    assert UUID4.fullmatch((await call(CorrelationIDMiddleware(plain), headers)).request_id)


@given(st.lists(st.tuples(st.sampled_from([b"x-request-id", b"X-Request-ID", b"x-other"]), st.binary(max_size=200))))
def test_nothing_but_a_valid_id_is_ever_echoed(headers: list[tuple[bytes, bytes]]) -> None:
    id_ = asyncio.run(call(CorrelationIDMiddleware(plain), headers)).request_id
    given_values = [value for name, value in headers if name.lower() == b"x-request-id"]
    if len(given_values) == 1 and is_request_id(given_values[0].decode("latin-1")):
        assert id_.encode() == given_values[0]
    else:
        assert UUID4.fullmatch(id_)


@pytest.mark.parametrize(
    "headers", [None, 5, [5], [(b"x-request-id",)], [("x-request-id", "a")], [[b"x-request-id", 7]], ()]
)
async def test_headers_that_break_the_protocol_do_not_break_the_request(headers: Any) -> None:
    client = Client()
    scope = http_scope() | {"headers": headers}
    await CorrelationIDMiddleware(plain)(scope, client.receive, client.send)
    assert UUID4.fullmatch(client.request_id)


async def test_a_scope_with_a_key_that_cannot_be_compared_gets_an_id() -> None:
    class Key:
        def __hash__(self) -> int:
            return hash("headers")

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    client = Client()
    scope: Any = {Key(): None} | {"type": "http"}
    await CorrelationIDMiddleware(app)(scope, client.receive, client.send)
    gc.collect()  # would report an error that was left behind
    assert client.request_id


async def test_the_id_is_in_the_context_and_in_the_state_while_the_application_runs() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        seen.append((reqtrail.get_request_id(), scope["state"]["request_id"]))
        seen.append(await asyncio.to_thread(reqtrail.get_request_id))
        await answer(send)

    client = await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])
    assert seen == [("abc", "abc"), "abc"]
    assert client.request_id == "abc"
    assert reqtrail.get_request_id() is None


async def test_the_context_has_no_id_before_the_first_step_and_the_previous_one_after_the_last() -> None:
    token = reqtrail.set_request_id("outer")
    client = Client()
    awaitable = CorrelationIDMiddleware(plain)(http_scope(), client.receive, client.send)
    assert reqtrail.get_request_id() == "outer"
    await awaitable
    assert reqtrail.get_request_id() == "outer"
    reqtrail.reset_request_id(token)


async def test_the_state_is_made_where_a_server_has_none() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"])

    scope = {"type": "http", "method": "GET", "headers": [(b"x-request-id", b"abc")]}
    client = Client()
    await CorrelationIDMiddleware(app)(scope, client.receive, client.send)
    assert [state["request_id"] for state in seen] == ["abc"]


async def test_interleaved_requests_keep_their_own_id() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            assert reqtrail.get_request_id() == scope["state"]["request_id"]
        await answer(send, body=scope["state"]["request_id"].encode())

    wrapped = CorrelationIDMiddleware(app)
    clients = await asyncio.gather(
        *(call(wrapped, [(b"x-request-id", b"id-%d" % i)] if i % 2 else []) for i in range(200))
    )
    assert len({client.request_id for client in clients}) == 200
    assert all(client.sent[1]["body"].decode() == client.request_id for client in clients)
    assert all(client.request_id == f"id-{i}" for i, client in enumerate(clients) if i % 2)


@pytest.mark.parametrize("own", [b"x-request-id", b"X-Request-ID"])
async def test_an_id_header_of_the_application_is_replaced_and_its_list_is_left_alone(own: bytes) -> None:
    headers = [(own, b"mine"), (b"a", b"1"), (own, b"again")]
    message = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)

    client = await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])
    assert client.sent[0]["headers"] == [(b"a", b"1"), (b"x-request-id", b"abc")]
    assert headers == [(own, b"mine"), (b"a", b"1"), (own, b"again")]
    assert message["headers"] is headers


def _start(headers: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _from_a_tuple(send: Any) -> Any:
    args = (_start([(b"a", b"1")]),)
    await send(*args)
    return args[0]["headers"]


async def _from_a_partial(send: Any) -> Any:
    prepared = functools.partial(send, _start([(b"a", b"1")]))
    await prepared()
    return prepared.args[0]["headers"]


async def _by_keyword(send: Any) -> Any:
    kwargs = {"message": _start([(b"a", b"1")])}
    await send(**kwargs)
    return kwargs["message"]["headers"]


async def _from_a_container(send: Any) -> Any:
    messages = [_start([(b"a", b"1")])]
    await send(messages[0])
    return messages[0]["headers"]


async def _from_compiled_code(send: Any) -> Any:
    messages = [_start([(b"a", b"1")])]
    # As compiled code does it: by an array of its own, with a reference that it has borrowed.
    call_with = ctypes.pythonapi.PyObject_CallFunctionObjArgs
    call_with.restype = ctypes.py_object
    await call_with(ctypes.py_object(send), ctypes.c_void_p(id(messages[0])), None)
    return messages[0]["headers"]


async def _with_a_list_of_its_own(send: Any) -> Any:
    headers = [(b"a", b"1")]
    await send(_start(headers))
    return headers


@pytest.mark.parametrize(
    "send_and_look",
    [_from_a_tuple, _from_a_partial, _by_keyword, _from_a_container, _from_compiled_code, _with_a_list_of_its_own],
)
async def test_what_the_application_can_look_at_after_sending_is_left_alone(send_and_look: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await send_and_look(send))

    client = Client()

    async def send(message: Any) -> None:
        client.sent.append(message)

    await CorrelationIDMiddleware(app)(http_scope([(b"x-request-id", b"abc")]), client.receive, send)
    assert client.sent[0]["headers"] == [(b"a", b"1"), (b"x-request-id", b"abc")]
    assert seen == [[(b"a", b"1")]]


async def test_a_message_that_only_the_call_of_send_has_is_not_copied() -> None:
    addresses = []

    def noted(message: dict[str, Any]) -> dict[str, Any]:
        addresses.append(id(message))
        return message

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(noted(_start([(b"a", b"1")])))

    (message,) = (await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])).sent
    assert message["headers"] == [(b"a", b"1"), (b"x-request-id", b"abc")]
    assert addresses == [id(message)]


@pytest.mark.parametrize("own", [b"x-request-id", b"X-Request-ID"])
async def test_an_id_header_in_a_message_made_for_the_call_is_replaced(own: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(own, b"mine"), (b"a", b"1")]})

    client = await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])
    assert client.sent[0]["headers"] == [(b"a", b"1"), (b"x-request-id", b"abc")]


@pytest.mark.parametrize("headers", [[[b"a", b"1"]], ((b"a", b"1"),), iter([(b"a", b"1")])])
async def test_every_kind_of_header_iterable_gets_the_id(headers: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    sent = (await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])).sent[0]["headers"]
    assert [tuple(pair) for pair in sent] == [(b"a", b"1"), (b"x-request-id", b"abc")]


async def test_a_response_without_headers_gets_the_id() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})

    assert (await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])).request_id == "abc"


@pytest.mark.parametrize("type_", ["websocket.accept", "websocket.http.response.start"])
async def test_a_websocket_gets_the_id_with_its_answer(type_: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": type_, "status": 403, "headers": []})
        await send({"type": "websocket.send", "text": reqtrail.get_request_id()})

    client = await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")], type="websocket")
    assert client.request_id == "abc"
    assert client.sent[1] == {"type": "websocket.send", "text": "abc"}


async def test_messages_that_are_none_of_ours_go_through_as_the_same_object() -> None:
    messages: list[Any] = [{"type": "http.response.debug"}, {"type": "http.response.early_hint", "links": []}, {}, 5]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    client = await call(CorrelationIDMiddleware(app))
    assert all(sent is message for sent, message in zip(client.sent, messages, strict=True))


async def test_send_takes_its_message_by_keyword_and_refuses_what_the_server_refuses() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message={"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(TypeError, match="positional argument"):
            await send()
        with pytest.raises(TypeError, match="unexpected keyword"):
            await send(massage={})

    assert (await call(CorrelationIDMiddleware(app), [(b"x-request-id", b"abc")])).request_id == "abc"


@pytest.mark.parametrize("scope", [{"type": "lifespan"}, {"type": "mcp"}, {}, 5])
def test_other_scopes_go_straight_to_the_application(scope: Any) -> None:
    answer_of_app = object()

    def app(*args: Any) -> Any:
        assert args == (scope, 1, 2)
        return answer_of_app

    assert CorrelationIDMiddleware(app)(scope, 1, 2) is answer_of_app  # type: ignore[arg-type]  # fakes


@pytest.mark.parametrize(("said", "enabled"), [(None, False), ("false", None), ("0", None), ("true", False)])
@pytest.mark.parametrize("type_", ["http", "websocket", "lifespan"])
def test_switched_off_every_call_goes_straight_to_the_application(
    monkeypatch: pytest.MonkeyPatch, said: str | None, enabled: bool | None, type_: str
) -> None:
    if said is not None:
        monkeypatch.setenv("REQTRAIL_ENABLED", said)
    scope, receive, send = http_scope([(b"x-request-id", b"abc")], type=type_), object(), object()
    given = copy.deepcopy(scope)
    answer_of_app = object()

    def app(*args: Any) -> Any:
        assert [id(arg) for arg in args] == [id(scope), id(receive), id(send)]
        assert scope == given
        assert reqtrail.get_request_id() is None
        return answer_of_app

    middleware: Any = CorrelationIDMiddleware(app, enabled=enabled)
    assert middleware(scope, receive, send) is answer_of_app


@pytest.mark.parametrize(("said", "enabled"), [("false", True), ("true", None), ("", None), (None, True)])
async def test_switched_on_it_gives_ids(
    monkeypatch: pytest.MonkeyPatch, said: str | None, enabled: bool | None
) -> None:
    if said is not None:
        monkeypatch.setenv("REQTRAIL_ENABLED", said)
    client = await call(CorrelationIDMiddleware(plain, enabled=enabled))
    assert UUID4.fullmatch(client.request_id)


async def test_the_switch_is_asked_when_the_middleware_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    off = CorrelationIDMiddleware(plain)
    monkeypatch.delenv("REQTRAIL_ENABLED")
    assert (await call(off)).values(b"x-request-id") == []


def test_a_switch_that_says_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "perhaps")
    with pytest.raises(ValueError, match="REQTRAIL_ENABLED must be true or false"):
        CorrelationIDMiddleware(plain)


def test_a_call_with_wrong_arguments_fails_as_the_application_does() -> None:
    with pytest.raises(TypeError, match="missing 3 required positional arguments"):
        CorrelationIDMiddleware(plain)()  # type: ignore[call-arg]  # what the test is about


async def test_it_can_be_called_by_keyword() -> None:
    client = Client()
    await CorrelationIDMiddleware(plain)(scope=http_scope(), receive=client.receive, send=client.send)
    assert client.status == 200


async def test_two_middlewares_around_each_other_agree_on_one_id() -> None:
    client = await call(CorrelationIDMiddleware(CorrelationIDMiddleware(plain)))
    assert UUID4.fullmatch(client.request_id)


async def test_another_header_name() -> None:
    app = CorrelationIDMiddleware(plain, header_name="X-Correlation-ID")
    client = await call(app, [(b"x-request-id", b"no"), (b"x-correlation-id", b"yes")])
    assert client.values(b"x-correlation-id") == [b"yes"]
    assert client.values(b"x-request-id") == []


async def test_new_ids_of_version_7_sort_by_time() -> None:
    app = CorrelationIDMiddleware(plain, generator=reqtrail.uuid7)
    before = time.time_ns() // 1_000_000
    first = uuid.UUID((await call(app)).request_id)
    await asyncio.sleep(0.001)
    second = uuid.UUID((await call(app)).request_id)
    assert (first.version, second.version, first.variant) == (7, 7, uuid.RFC_4122)
    assert before <= first.int >> 80 <= time.time_ns() // 1_000_000
    assert str(first) < str(second)


async def test_a_generator_of_the_application_makes_the_new_ids() -> None:
    assert (await call(CorrelationIDMiddleware(plain, generator=lambda: "made-here"))).request_id == "made-here"


def _fails() -> str:
    raise OSError("no entropy service")


@pytest.mark.parametrize("generator", [lambda: "a\r\nb: c", lambda: "", lambda: 5, lambda: "é", _fails])
async def test_a_generator_that_gives_no_id_is_not_trusted(generator: Callable[[], Any]) -> None:
    assert UUID4.fullmatch((await call(CorrelationIDMiddleware(plain, generator=generator))).request_id)


@pytest.mark.parametrize("name", ["", "X Request", "X-Request-ID\r\nSet-Cookie", "X:Y", "é"])
def test_a_header_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header_name must be"):
        CorrelationIDMiddleware(plain, header_name=name)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((5,), {}), ((plain,), {"generator": 5}), ((plain,), {"_recorder": 5}), ((plain,), {"enabled": "no"})],
)
def test_arguments_of_the_wrong_type_are_refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="must be a"):
        CorrelationIDMiddleware(*args, **kwargs)


def test_servers_take_it_for_an_asgi_3_application() -> None:
    middleware = CorrelationIDMiddleware(plain)
    assert inspect.iscoroutinefunction(middleware.__call__)
    assert middleware.app is plain


async def test_what_looks_like_its_call_method_works_as_one() -> None:
    client = Client()
    method: Callable[..., Awaitable[None]] = CorrelationIDMiddleware(plain).__call__
    await method(http_scope(), client.receive, client.send)
    assert UUID4.fullmatch(client.request_id)


async def test_a_last_step_in_a_foreign_context_is_no_fault_of_the_request() -> None:
    class Suspend:
        def __await__(self) -> Any:
            yield "suspended"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Suspend()

    awaitable: Any = start(app)
    assert contextvars.Context().run(awaitable.send, None) == "suspended"
    with pytest.raises(StopIteration):
        awaitable.send(None)
