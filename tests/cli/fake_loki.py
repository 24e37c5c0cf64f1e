"""A small HTTP server that answers query_range as Loki documents it, over lines that a test gives."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence

from tests.cli.json_server import JsonServer

_QUERY = re.compile(r'(\{[^}]*\})((?: \|[=~] "(?:[^"\\]|\\.)*")*)')
_FILTER = re.compile(r'\|([=~]) ("(?:[^"\\]|\\.)*")')
_LATER_NS = 3600 * 10**9


class FakeLoki(JsonServer):
    """Streams by their `service` label. The time of a line is when it was received: all at the start of this server."""

    def __init__(self, streams: Mapping[str, Sequence[str]], *, tenant: str | None = None) -> None:
        super().__init__(self._answer)
        self.queries: list[str] = []
        self._streams = streams
        self._tenant = tenant
        self._now = time.time_ns()

    def _answer(self, target: str, headers: Mapping[str, str]) -> tuple[int, object]:
        if headers.get("X-Scope-Orgid", headers.get("X-Scope-OrgID")) != self._tenant:
            return 401, "no org id"
        parts = urllib.parse.urlsplit(target)
        if parts.path != "/loki/api/v1/query_range":
            return 404, "404 page not found"
        parameters = dict(urllib.parse.parse_qsl(parts.query))
        self.queries.append(parameters["query"])
        query = _QUERY.fullmatch(parameters["query"])
        if query is None:
            return 400, f"parse error in {parameters['query']}"
        assert int(parameters["start"]) < int(parameters["end"]) <= self._now + _LATER_NS
        filters = [(kind, json.loads(text)) for kind, text in _FILTER.findall(query[2])]
        passing = {
            service: [line for line in lines if all(_passes(line, *one) for one in filters)]
            for service, lines in self._streams.items()
        }
        return 200, self._result(passing)

    def _result(self, streams: Mapping[str, Sequence[str]]) -> object:
        result = [
            {"stream": {"service": service}, "values": [[str(self._now + at), line] for at, line in enumerate(lines)]}
            for service, lines in streams.items()
            if lines
        ]
        return {"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}}


def _passes(line: str, kind: str, text: str) -> bool:
    return text in line if kind == "=" else re.search(text, line) is not None
