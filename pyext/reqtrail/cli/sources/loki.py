"""Lines of a request from Loki."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from reqtrail.cli.sources import Found, SourceError
from reqtrail.cli.sources.http_api import get_json, shown
from reqtrail.cli.sources.log_lines import LineReader, holder_pids, name_holders, tagged_records
from reqtrail.cli.timeline import Event
from reqtrail.cli.wording import counted

DEFAULT_SELECTOR = '{service=~".+"}'
_LIMIT = 5000
_AROUND_A_WAIT = timedelta(minutes=10)


class LokiSource:
    """Loki, by its HTTP API: query_range with a filter on the id."""

    kind = "loki"

    def __init__(
        self, url: str, since: timedelta, *, selector: str = DEFAULT_SELECTOR, tenant: str | None = None
    ) -> None:
        """Make one.

        Args:
            url: Its address, without /loki; user and password may be in it.
            since: How far back to look.
            selector: The streams to look through, in LogQL.
            tenant: The value of X-Scope-OrgID, where several tenants share it.
        """
        self._url = url
        self._since = since
        self._selector = selector
        self._headers = {"X-Scope-OrgID": tenant} if tenant else {}
        self.name = shown(url)

    def collect(self, request_id: str) -> Found:
        """Ask it. Raises SourceError."""
        now = datetime.now(timezone.utc)
        streams = self._streams(f'|= "{request_id}"', now - self._since, now)
        events: list[Event] = []
        lines = 0
        for labels, stream in streams:
            reader = LineReader(request_id, labels.get("service") or labels.get("job") or self.name)
            lines += len(stream)
            for line in stream:
                for physical in line.splitlines():
                    reader.feed(physical)
            reader.finish()
            events += reader.events
        pids = holder_pids(events)
        if pids:
            events = self._with_holders(events, pids)
        cut = f"; only the first {_LIMIT} lines" if lines >= _LIMIT else ""
        return Found(events, note=f"{counted(len(events), 'record')} in {counted(lines, 'line')}{cut}")

    def count_lines(self, filters: str) -> int:
        """How many lines (at most 5,000) pass LogQL's line filters. Raises SourceError."""
        now = datetime.now(timezone.utc)
        return sum(len(stream) for _, stream in self._streams(filters, now - self._since, now))

    def _with_holders(self, events: list[Event], pids: set[int]) -> list[Event]:
        waits = [event for event in events if event.kind == "lock"]
        start = min(event.start for event in waits) - _AROUND_A_WAIT
        end = max(event.last for event in waits) + _AROUND_A_WAIT
        wanted = "|".join(map(str, sorted(pids)))
        streams = self._streams(f'|= "request_id: " |~ "\\\\b({wanted})\\\\b"', start, end)
        return name_holders(events, (found for _, stream in streams for found in tagged_records(_split(stream), pids)))

    def _streams(self, filters: str, start: datetime, end: datetime) -> list[tuple[dict[str, str], Sequence[str]]]:
        answer = get_json(
            self._url,
            "/loki/api/v1/query_range",
            headers=self._headers,
            parameters={
                "query": f"{self._selector} {filters}",
                "start": str(int(start.timestamp() * 1e9)),
                "end": str(int(end.timestamp() * 1e9)),
                "limit": str(_LIMIT),
                "direction": "forward",
            },
        )
        try:
            return [(dict(stream["stream"]), _lines_of(stream)) for stream in answer["data"]["result"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SourceError("the answer is not one of Loki's query_range: is the address right?") from error


def _lines_of(stream: dict[str, Any]) -> list[str]:
    return [str(value[1]) for value in stream["values"]]


def _split(stream: Sequence[str]) -> Iterator[str]:
    for line in stream:
        yield from line.splitlines()
