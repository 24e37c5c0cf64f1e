"""Lines of any of the known formats, in any mix, turned into the events of one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from reqtrail.cli.sources.json_lines import event_of, parse_object
from reqtrail.cli.sources.postgres_log import LogRecord, RecordReader, event_of_record, record_of_json
from reqtrail.cli.timeline import Event

_TAG = "request_id: "
_SAME_WAIT = timedelta(milliseconds=50)


class LineReader:
    """Reads the lines of one file or stream, and keeps what belongs to the request."""

    def __init__(self, request_id: str, source: str) -> None:
        """Make one.

        Args:
            request_id: Whose lines are looked for.
            source: What the events name as their origin.
        """
        self._request_id = request_id
        self._source = source
        self._records = RecordReader()
        self._waits: dict[int | None, Event] = {}
        self.events: list[Event] = []
        """What was found so far."""

    def feed(self, line: str) -> None:
        """Take the next line, without its end."""
        record = parse_object(line) if self._request_id in line else None
        if record is None:
            self._take(self._records.feed(line))
        elif (of_server := record_of_json(record)) is not None:
            self._take([of_server])
        elif (event := event_of(record, self._request_id, self._source)) is not None:
            self.events.append(event)

    def finish(self) -> None:
        """Say that no line follows."""
        self._take(self._records.finish())
        self.events += self._waits.values()
        self._waits = {}

    def _take(self, records: Iterable[LogRecord]) -> None:
        for record in records:
            if record.request_id != self._request_id:
                continue
            event = event_of_record(record, self._source)
            if event.kind == "lock":
                self._take_wait(record.pid, event)
            else:
                self.events.append(event)

    def _take_wait(self, pid: int | None, event: Event) -> None:
        """A wait is told again when it ends, then without its holders: make one of the two."""
        earlier = self._waits.pop(pid, None)
        if earlier is not None and abs(earlier.start - event.start) <= _SAME_WAIT:
            pids = event.details["holder_pids"] or earlier.details["holder_pids"]
            event = replace(event, details={**event.details, "holder_pids": pids})
        elif earlier is not None:
            self.events.append(earlier)
        self._waits[pid] = event


def holder_pids(events: Iterable[Event]) -> set[int]:
    """The backends that held the locks for which the request waited."""
    return {pid for event in events if event.kind == "lock" for pid in event.details.get("holder_pids", ())}


def tagged_records(lines: Iterable[str], pids: set[int]) -> Iterator[tuple[int, datetime, str]]:
    """For each record of these backends that carries a request id: the pid, the time, the id."""
    reader = RecordReader()

    def tagged(records: Iterable[LogRecord]) -> Iterator[tuple[int, datetime, str]]:
        for record in records:
            if record.pid in pids and record.pid is not None and record.request_id is not None:
                yield record.pid, record.time, record.request_id

    for line in lines:
        found = parse_object(line) if _TAG in line else None
        if found is None:
            yield from tagged(reader.feed(line))
        elif (record := record_of_json(found)) is not None:
            yield from tagged([record])
    yield from tagged(reader.finish())


def name_holders(events: Iterable[Event], tagged: Iterable[tuple[int, datetime, str]]) -> list[Event]:
    """Add to each wait the requests that held the lock: those that the holders' log lines nearest to it carry."""
    waits = list(events)
    nearest: dict[tuple[int, int], tuple[timedelta, str]] = {}
    for pid, time, request_id in tagged:
        for number, event in enumerate(waits):
            if event.kind == "lock" and pid in event.details.get("holder_pids", ()):
                away = max(event.start - time, time - event.last, timedelta(0))
                if (number, pid) not in nearest or away < nearest[number, pid][0]:
                    nearest[number, pid] = (away, request_id)
    named = []
    for number, event in enumerate(waits):
        holders = sorted({request_id for (of, _), (_, request_id) in nearest.items() if of == number})
        named.append(replace(event, details={**event.details, "held_by": holders}) if holders else event)
    return named
