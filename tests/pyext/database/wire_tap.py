"""A TCP proxy in front of PostgreSQL that keeps what client and server say, message by message."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

_SSL_OR_GSS_REQUEST = (80877103, 80877104)
_CANCEL_REQUEST = 80877102


@dataclass
class Conversation:
    """What went over the wire since it was last cleared: kinds are the protocol's message types."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    received: list[str] = field(default_factory=list)

    @property
    def round_trips(self) -> int:
        """How often the client waited: for each Query or Sync (ReadyForQuery), and for each Describe that it flushed.

        asyncpg flushes what it has to know before it sends the parameters. In a pipeline there is never a Describe
        right in front of a Flush.
        """
        kinds = [kind for kind, _ in self.sent]
        return self.received.count("Z") + sum(pair == ("D", "H") for pair in pairwise(kinds))

    @property
    def queries(self) -> list[str]:
        """The texts of the simple-protocol messages."""
        return [body.rstrip(b"\0").decode() for kind, body in self.sent if kind == "Q"]

    @property
    def statements(self) -> list[str]:
        """The texts of the simple-protocol messages, and those that were parsed for the extended protocol."""
        return [body.split(b"\0")[kind == "P"].decode() for kind, body in self.sent if kind in "QP"]

    @property
    def texts(self) -> bytes:
        """All that the client sent, run together."""
        return b"".join(body for _, body in self.sent)

    def clear(self) -> None:
        """Forget it all."""
        self.sent.clear()
        self.received.clear()


class WireTap:
    """Listens on a free port and passes everything on to `target_port`, both on 127.0.0.1."""

    def __init__(self, target_port: int) -> None:
        self.conversation = Conversation()
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "WireTap":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # close() alone would leave the accept() of the other thread waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._client_to_server, args=(client, server), daemon=True).start()

    def _client_to_server(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError, EOFError):
            while True:
                head = _exactly(client, 8)
                size, code = struct.unpack("!II", head)
                server.sendall(head + _exactly(client, size - 8))
                if code == _CANCEL_REQUEST:
                    return
                if code not in _SSL_OR_GSS_REQUEST:
                    break
                client.sendall(_exactly(server, 1))  # "N": neither SSL nor GSS
            threading.Thread(target=self._server_to_client, args=(server, client), daemon=True).start()
            while True:
                kind, body, raw = _message(client)
                self.conversation.sent.append((kind, body))
                server.sendall(raw)

    def _server_to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, _, raw = _message(server)
                self.conversation.received.append(kind)
                client.sendall(raw)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)  # which wakes the other direction too


def _message(source: socket.socket) -> tuple[str, bytes, bytes]:
    head = _exactly(source, 5)
    body = _exactly(source, struct.unpack("!I", head[1:])[0] - 4)
    return chr(head[0]), body, head + body


def _exactly(source: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = source.recv(size - len(received))
        if not part:
            raise EOFError
        received += part
    return received
