"""What the application inside does in each scene of test_nothing_changes.py, and tells of what it sees."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
from starlette.responses import StreamingResponse

from tests.pyext.asgi.driver import answer

Note = Callable[[object], None]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

EVENTS = "REQTRAIL_TEST_EVENTS"
"""The environment variable that names the file which watched_app.py writes all of it to."""
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


class BoomError(Exception):
    pass


def names(error: BaseException) -> object:
    """The type of an error, and of those that it groups."""
    inner = getattr(error, "exceptions", None)
    name = type(error).__name__
    return name if inner is None else [name, *map(names, inner)]


def _part(text: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": text, "more_body": True}


class _Inside:
    """The scope, receive and send of the application inside, with everything noted that comes of them."""

    def __init__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.note: Note = scope["note"]
        self._receive = receive
        self._send = send

    async def receive(self) -> Any:
        try:
            message = await self._receive()
        except BaseException as error:
            self.note(["receive raised", names(error)])
            raise
        self.note(["received", message["type"], len(message.get("body", b"")), message.get("more_body")])
        return message

    async def send(self, message: Any) -> None:
        try:
            await self._send(message)
        except BaseException as error:
            self.note(["send raised", message["type"], names(error)])
            raise
        self.note(["sent", message["type"]])

    async def receive_until(self, type_: str) -> None:
        while (await self.receive())["type"] != type_:
            pass

    async def receive_body(self) -> None:
        while (await self.receive()).get("more_body"):
            pass


async def _reads_a_body(inside: _Inside) -> None:
    await inside.receive_body()
    await answer(inside.send)
    await inside.receive()  # after the response: a disconnect


async def _reads_until_the_client_goes(inside: _Inside) -> None:
    await inside.receive_until("http.disconnect")
    await answer(inside.send)


async def _parts(note: Note) -> AsyncGenerator[bytes]:
    try:
        while True:
            yield b"part"
    except BaseException as error:
        note(["generator ended", names(error)])
        raise


async def _closes_its_generator_when_the_client_goes(inside: _Inside) -> None:
    await inside.send(START)
    async with aclosing(_parts(inside.note)) as parts:
        async for part in parts:
            await inside.send(_part(part))
            await inside.receive_until("http.disconnect")
            break
    await inside.send(_part(b"to nobody"))


async def _streams_without_end(inside: _Inside) -> None:
    async def parts() -> AsyncIterator[bytes]:
        try:
            yield b"part"
            await asyncio.Event().wait()
        except BaseException as error:
            inside.note(["stream ended", names(error)])
            raise

    await StreamingResponse(parts())(inside.scope, inside.receive, inside.send)


async def _fails(inside: _Inside) -> None:
    await inside.receive_body()
    raise BoomError


async def _fails_after_the_start(inside: _Inside) -> None:
    await inside.send(START)
    await inside.send(_part(b"part"))
    raise BoomError


async def _fails_in_a_group(inside: _Inside) -> None:
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            inside.note(["sibling ended", names(error)])
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waits)
        await asyncio.sleep(0)
        raise BoomError


async def _fails_in_a_group_after_the_start(inside: _Inside) -> None:
    await inside.send(START)
    await inside.send(_part(b"part"))
    await _fails_in_a_group(inside)


async def _breaks_the_protocol(inside: _Inside) -> None:
    try:
        await inside.send(_part(b"before the start"))
    except Exception:
        await answer(inside.send)
    await inside.send(START)


async def _returns_in_the_middle(inside: _Inside) -> None:
    await inside.send(START)
    await inside.send(_part(b"part"))


async def _waits_for_ever(inside: _Inside) -> None:
    try:
        await asyncio.Event().wait()
    except BaseException as error:
        inside.note(["wait ended", names(error)])
        raise


async def _hints_early(inside: _Inside) -> None:
    await inside.send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload; as=style"]})
    await answer(inside.send)


SCENES: dict[str, Callable[[_Inside], Awaitable[None]]] = {
    "reads-a-body": _reads_a_body,
    "body-cut-off": _reads_until_the_client_goes,
    "stream-cut-off": _closes_its_generator_when_the_client_goes,
    "endless-stream-cut-off": _streams_without_end,
    "fails": _fails,
    "fails-after-the-start": _fails_after_the_start,
    "fails-in-a-group": _fails_in_a_group,
    "fails-in-a-group-after-the-start": _fails_in_a_group_after_the_start,
    "breaks-the-protocol": _breaks_the_protocol,
    "returns-in-the-middle": _returns_in_the_middle,
    "waits-for-ever": _waits_for_ever,
    "hints-early": _hints_early,
}


async def scene(scope: Any, receive: Receive, send: Send) -> None:
    """The application inside. Of the scope it takes the scene's name, `note` and the list `raised`."""
    inside = _Inside(scope, receive, send)
    inside.note("begins")
    try:
        await SCENES[scope["scene"]](inside)
    except BaseException as error:
        scope["raised"].append(error)
        raise
