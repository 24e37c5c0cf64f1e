"""A small HTTP server that answers query_range as Loki documents it, over lines that a test gives."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_QUERY = re.compile(r'(\{[^}]*\})((?: \|[=~] "(?:[^"\\]|\\.)*")*)')
_LATER_NS = 3600 * 10**9
_FILTER = re.compile(r'\|([=~]) ("(?:[^"\\]|\\.)*")')


class FakeLoki:
    """Streams by their `service` label. The time of a line is when it was received: all at the start of this server."""

    def __init__(self, streams: Mapping[str, Sequence[str]], *, tenant: str | None = None) -> None:
        self.queries: list[str] = []
        self._streams = streams
        self._tenant = tenant
        self._now = time.time_ns()
        loki = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = loki.answer(self.path, self.headers.get("X-Scope-OrgID"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, tenant: str | None) -> tuple[int, str]:
        if tenant != self._tenant:
            return 401, "no org id"
        parts = urllib.parse.urlsplit(path)
        if parts.path != "/loki/api/v1/query_range":
            return 404, "404 page not found"
        parameters = dict(urllib.parse.parse_qsl(parts.query))
        self.queries.append(parameters["query"])
        query = _QUERY.fullmatch(parameters["query"])
        if query is None:
            return 400, f"parse error in {parameters['query']}"
        assert int(parameters["start"]) < int(parameters["end"]) <= self._now + _LATER_NS
        filters = [(kind, json.loads(text)) for kind, text in _FILTER.findall(query[2])]
        return 200, self._result(
            {
                service: [line for line in lines if all(_passes(line, *one) for one in filters)]
                for service, lines in self._streams.items()
            }
        )

    def _result(self, streams: Mapping[str, Sequence[str]]) -> str:
        result = [
            {"stream": {"service": service}, "values": [[str(self._now + at), line] for at, line in enumerate(lines)]}
            for service, lines in streams.items()
            if lines
        ]
        return json.dumps({"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}})

    def __enter__(self) -> FakeLoki:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _passes(line: str, kind: str, text: str) -> bool:
    return text in line if kind == "=" else re.search(text, line) is not None
