"""Real servers: what the application inside sees, what the server gets of it and what goes over the wire is the same
with the middleware as without it, but for the header.

The middleware alone is compared with nothing around the application, an installation with the same Starlette
application. Both are paths of one server.
"""

import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from devstack.process import ServerProcess, accepts_connections, free_port
from tests.pyext.asgi.scenes import EVENTS
from tests.waiting import wait_for

GENEROUS = 60
APP = "tests.pyext.asgi.watched_app:app"
SERVERS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn-httptools": lambda port: _uvicorn(port, "httptools", "uvloop"),
    "uvicorn-h11": lambda port: _uvicorn(port, "h11", "asyncio"),
    "gunicorn-uvicorn": lambda port: ["gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", f"127.0.0.1:{port}", APP],
    "hypercorn": lambda port: ["hypercorn", "--graceful-timeout", "1", "-b", f"127.0.0.1:{port}", APP],
}
PAIRS = [("nothing", "middleware"), ("starlette", "installed")]
OURS = "middleware", "installed"
ID = "given-id"


def _uvicorn(port: int, http: str, loop: str) -> list[str]:
    graceful = ["--timeout-graceful-shutdown", "1"]
    return ["uvicorn", APP, "--port", str(port), "--http", http, "--loop", loop, "--no-access-log", *graceful]


class Server:
    def __init__(self, name: str, folder: Path) -> None:
        self.port = free_port()
        self._events = folder / "events"
        self._events.touch()
        self.process = ServerProcess(
            [sys.executable, "-m", *SERVERS[name](self.port)],
            log=folder / "log",
            env={EVENTS: str(self._events), "REQTRAIL_METRICS_DIR": str(folder)},
        )
        self.process.await_ready(lambda: accepts_connections(self.port), name)

    def events(self, surroundings: str, scene: str) -> list[Any]:
        whole_lines = self._events.read_text().splitlines(keepends=True)
        lines = [json.loads(line) for line in whole_lines if line.endswith("\n")]
        return [event for of, in_, event in lines if (of, in_) == (surroundings, scene)]

    def wait_for_event(self, surroundings: str, scene: str, event: object) -> None:
        wait_for(lambda: event in self.events(surroundings, scene), GENEROUS)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(request.param, tmp_path_factory.mktemp(request.param))
    try:
        yield server
    finally:
        server.process.stop()


class Client:
    """One connection, and all that came back on it."""

    def __init__(self, server: Server, surroundings: str, scene: str, *headers: str) -> None:
        self.came = b""
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS)
        lines = [f"POST /{surroundings}/{scene} HTTP/1.1", "host: x", f"x-request-id: {ID}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def send(self, text: bytes) -> None:
        self._socket.sendall(text)

    def read_until(self, text: bytes) -> None:
        while text not in self.came:
            part = self._socket.recv(65536)
            assert part, self.came
            self.came += part

    def read_all(self) -> None:
        while part := self._socket.recv(65536):
            self.came += part

    def close(self) -> None:
        self._socket.close()


def _plain(server: Server, surroundings: str, scene: str) -> bytes:
    client = Client(server, surroundings, scene, "connection: close", "content-length: 0")
    client.read_all()
    client.close()
    return client.came


def _with_a_body(server: Server, surroundings: str, scene: str) -> bytes:
    client = Client(server, surroundings, scene, "connection: close", "content-length: 8")
    server.wait_for_event(surroundings, scene, "begins")
    client.send(b"the body")
    client.read_all()
    client.close()
    return client.came


def _cut_off_in_the_body(server: Server, surroundings: str, scene: str) -> bytes:
    client = Client(server, surroundings, scene, "content-length: 100")
    server.wait_for_event(surroundings, scene, "begins")
    client.send(b"a part")
    server.wait_for_event(surroundings, scene, ["received", "http.request", 6, True])
    client.close()
    return client.came


def _cut_off_in_the_response(server: Server, surroundings: str, scene: str) -> bytes:
    client = Client(server, surroundings, scene, "content-length: 0")
    client.read_until(b"part\r\n")
    server.wait_for_event(surroundings, scene, ["sent", "http.response.body"])
    client.close()
    return client.came


def _without_header_and_date(answer: bytes) -> bytes:
    return re.sub(rb"(?i)(x-request-id|date): [^\r]*\r\n", b"", answer)


def _ids(answer: bytes) -> list[bytes]:
    return re.findall(rb"(?i)x-request-id: ([^\r]*)\r\n", answer)


BOOM = ["raised", "BoomError", [True]]
BOOM_GROUP = ["raised", ["ExceptionGroup", "BoomError"], [True]]
DISCONNECT = ["received", "http.disconnect", 0, None]
SCENES: dict[str, tuple[Callable[[Server, str, str], bytes], list[object]]] = {
    "reads-a-body": (_with_a_body, [DISCONNECT, "returned"]),
    "body-cut-off": (_cut_off_in_the_body, [DISCONNECT]),
    "stream-cut-off": (_cut_off_in_the_response, [DISCONNECT, ["generator ended", "GeneratorExit"]]),
    "endless-stream-cut-off": (_cut_off_in_the_response, [DISCONNECT, ["stream ended", "CancelledError"]]),
    "fails": (_plain, [BOOM]),
    "fails-after-the-start": (_plain, [["sent", "http.response.body"], BOOM]),
    "fails-in-a-group": (_plain, [["sibling ended", "CancelledError"], BOOM_GROUP]),
    "fails-in-a-group-after-the-start": (_plain, [["sent", "http.response.body"], BOOM_GROUP]),
    "breaks-the-protocol": (_plain, []),
    "returns-in-the-middle": (_plain, ["returned"]),
}
"""By scene: the client of it, and events without which it was not played."""


@pytest.mark.parametrize(("without", "with_"), PAIRS, ids=OURS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_the_same_with_and_without(server: Server, scene: str, without: str, with_: str) -> None:
    play, indispensable = SCENES[scene]
    answers = {}
    for surroundings in (without, with_):
        answers[surroundings] = play(server, surroundings, scene)
        server.wait_for_event(surroundings, scene, "over")
    events = server.events(without, scene)
    for event in indispensable:
        assert event in events
    assert server.events(with_, scene) == events
    assert _ids(answers[without]) == []
    answered_by_the_application = any(event[:2] == ["came out", "http.response.start"] for event in events)
    assert _ids(answers[with_]) == ([ID.encode()] if answers[with_] and answered_by_the_application else [])
    if without == "nothing" or not scene.startswith("fails"):  # there, an installation answers with the id
        assert _without_header_and_date(answers[with_]) == _without_header_and_date(answers[without])


def test_100_continue_is_sent_when_the_body_is_asked_for_and_has_no_header(server: Server) -> None:
    answers = {}
    for surroundings in ("nothing", "middleware", "starlette", "installed"):
        client = Client(
            server, surroundings, "reads-a-body", "connection: close", "content-length: 8", "expect: 100-continue"
        )
        client.read_until(b"\r\n\r\n")
        interim, _, rest = client.came.partition(b"\r\n\r\n")
        assert interim.startswith(b"HTTP/1.1 100")
        assert rest == b""
        client.send(b"the body")
        client.read_all()
        client.close()
        assert _ids(interim) == []
        assert _ids(client.came) == ([ID.encode()] if surroundings in OURS else [])
        answers[surroundings] = _without_header_and_date(client.came)
    assert len(set(answers.values())) == 1, answers


# gunicorn kills, and since CPython 3.12 hypercorn waits for its connections until it is killed: nobody sees that.
CANCELLING = ["uvicorn-httptools", "uvicorn-h11", *(["hypercorn"] if sys.version_info < (3, 12) else [])]


@pytest.mark.parametrize("name", CANCELLING)
def test_a_request_that_outlasts_the_server_is_cancelled_all_the_same(name: str, tmp_path: Path) -> None:
    server = Server(name, tmp_path)
    surroundings = [of for pair in PAIRS for of in pair]
    try:
        clients = [Client(server, of, "waits-for-ever", "content-length: 0") for of in surroundings]
        for of in surroundings:
            server.wait_for_event(of, "waits-for-ever", "begins")
    finally:
        server.process.stop(GENEROUS)
    for client in clients:
        client.close()
    seen = [server.events(of, "waits-for-ever") for of in surroundings]
    assert ["wait ended", "CancelledError"] in seen[0]
    assert seen == [seen[0]] * 4


Response = tuple[str, list[tuple[bytes, bytes]]]


def _hinted(server: Server, surroundings: str) -> list[Response]:
    """The kinds and headers of the responses to one request over HTTP/2, in their order, without the date."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    connection.initiate_connection()
    target = [(":method", "GET"), (":path", f"/{surroundings}/hints-early"), (":scheme", "http"), (":authority", "x")]
    connection.send_headers(1, [*target, ("x-request-id", ID)], end_stream=True)
    came: list[Response] = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as wire:
        while True:
            wire.sendall(connection.data_to_send())
            for event in connection.receive_data(wire.recv(65536)):
                if isinstance(event, h2.events.InformationalResponseReceived | h2.events.ResponseReceived):
                    headers = [(name, value) for name, value in event.headers if name != b"date"]
                    came.append((type(event).__name__, headers))
                if isinstance(event, h2.events.StreamEnded):
                    return came


@pytest.mark.parametrize("server", ["hypercorn"], indirect=True)  # the others have no early hints
def test_early_hints_pass_through_and_have_no_header(server: Server) -> None:
    header = (b"x-request-id", ID.encode())
    hinted = {of: _hinted(server, of) for pair in PAIRS for of in pair}
    ((first, hint), (second, answer)) = hinted["nothing"]
    assert (first, second) == ("InformationalResponseReceived", "ResponseReceived")
    assert (b":status", b"103") in hint
    assert (b"link", b"</style.css>; rel=preload; as=style") in hint
    assert hinted["starlette"] == hinted["nothing"]
    for surroundings in OURS:
        (of_hint, (_, with_header)) = hinted[surroundings]
        assert of_hint == (first, hint)
        assert with_header.count(header) == 1
        assert [pair for pair in with_header if pair != header] == answer
