"""PostgreSQL's own log, in its three formats: lines that carry `request_id: x` in their detail.

A record of the text format is several lines (LOG, DETAIL, STATEMENT, continued ones with a tab); so is one of csvlog
that has line ends in a field. The text format needs a log_line_prefix that begins with the time (%m or %t) and has
the pid as [%p].
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.timeline import Event

_REQUEST_ID = re.compile(r"^request_id: ([A-Za-z0-9._-]{1,128})$", re.MULTILINE)
_HEADER = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [A-Za-z0-9/_+\-:]+)(?P<prefix>.*?)\b"
    r"(?P<label>DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|QUERY|CONTEXT|LOCATION|STATEMENT):  "
    r"(?P<text>.*)"
)
_PID = re.compile(r"\[(\d{1,9})\]")
_CSV_START = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Za-z0-9/_+\-:]+,")
_CSV_START_IN_QUOTES = re.compile(_CSV_START.pattern + r'(?:"[^",]|,,\d+,(?:"[^"]+")?,[0-9a-f]+\.[0-9a-f]+,)')
"""How a record goes on that has a user, or none: in a field of another record, the quotes would be doubled."""
_ATTACHED = frozenset({"DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT"})
_ERRORS = frozenset({"ERROR", "FATAL", "PANIC"})
_DURATION = re.compile(r"duration: (\d+(?:\.\d+)?) ms(?:  (?:statement|execute [^:]*|plan): ?(.*))?", re.DOTALL)
_LOCK = re.compile(r"process (\d{1,9}) (still waiting for|acquired) (.+) after (\d{1,12}(?:\.\d+)?) ms")
_HOLDERS = re.compile(r"Process(?:es)? holding the lock: ([\d, ]+)\.")
_MAX_LINES_OF_RECORD = 10_000
_CSV_COLUMNS = 16


@dataclass
class LogRecord:
    """One record of the server log."""

    time: datetime
    severity: str
    message: str
    pid: int | None = None
    database: str | None = None
    sqlstate: str | None = None
    attached: dict[str, str] = field(default_factory=dict)
    """What came with it, by its label: DETAIL, STATEMENT, CONTEXT and so on."""

    @property
    def request_id(self) -> str | None:
        """The request that the backend worked for."""
        found = _REQUEST_ID.findall(self.attached.get("DETAIL", ""))
        return found[-1] if found else None


class RecordReader:
    """Puts lines of text and csvlog together to records. Lines that belong to none are passed over."""

    def __init__(self) -> None:
        """Make one; it has read nothing yet."""
        self._open: LogRecord | None = None
        self._label: str | None = None
        self._lines = 0
        self._csv: list[str] = []
        self._in_quotes = False

    def feed(self, line: str) -> Iterator[LogRecord]:
        """Take the next line (without its end), and give the records that it completes."""
        # Also where a record is open: a crash may have cut it off.
        if (_CSV_START_IN_QUOTES if self._in_quotes else _CSV_START).match(line):
            yield from self.finish()
            yield from self._feed_csv(line)
        elif self._csv:
            yield from self._feed_csv(line)
        elif (header := _HEADER.match(line)) is not None:
            yield from self._feed_header(header)
        elif self._open is not None and line.startswith("\t") and self._lines < _MAX_LINES_OF_RECORD:
            self._append(self._open, line[1:])

    def finish(self) -> Iterator[LogRecord]:
        """Give the record that was still open."""
        if self._open is not None:
            yield self._open
        self._open, self._label, self._csv, self._in_quotes = None, None, [], False

    def _feed_header(self, header: re.Match[str]) -> Iterator[LogRecord]:
        pid = _PID.search(header["prefix"])
        number = int(pid[1]) if pid else None
        if header["label"] in _ATTACHED:
            # Lines of several backends come one record at a time: what is attached follows its record.
            if self._open is not None and self._open.pid == number:
                self._label = header["label"]
                self._open.attached[self._label] = header["text"]
            else:
                yield from self.finish()
            return
        time = parse_moment(header["time"])
        yield from self.finish()
        if time is not None:
            self._open = LogRecord(time, header["label"], header["text"], number)
            self._lines = 0

    def _append(self, record: LogRecord, text: str) -> None:
        self._lines += 1
        if self._label is None:
            record.message += f"\n{text}"
        else:
            record.attached[self._label] += f"\n{text}"

    def _feed_csv(self, line: str) -> Iterator[LogRecord]:
        self._csv.append(line)
        self._in_quotes ^= line.count('"') % 2 == 1
        if not self._in_quotes:
            record = _of_csv("\n".join(self._csv))
            self._csv = []
            if record is not None:
                yield record
        elif len(self._csv) > _MAX_LINES_OF_RECORD:
            self._csv, self._in_quotes = [], False


def _of_csv(text: str) -> LogRecord | None:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    if len(rows) != 1 or len(rows[0]) < _CSV_COLUMNS:
        return None
    row = rows[0] + [""] * 10
    time = parse_moment(row[0])
    if time is None:
        return None
    attached = {"DETAIL": row[14], "HINT": row[15], "CONTEXT": row[18], "STATEMENT": row[19]}
    pid = int(row[3]) if row[3].isdecimal() else None
    return LogRecord(time, row[11], row[13], pid, row[2] or None, row[12] or None, attached)


def record_of_json(line: Mapping[str, Any]) -> LogRecord | None:
    """The record that an object of jsonlog is; None for an object of another kind."""
    time, severity = parse_moment(line.get("timestamp")), line.get("error_severity")
    if time is None or not isinstance(severity, str):
        return None
    attached = {
        label: value
        for label, name in (("DETAIL", "detail"), ("HINT", "hint"), ("CONTEXT", "context"), ("STATEMENT", "statement"))
        if isinstance(value := line.get(name), str)
    }
    pid, database, sqlstate = line.get("pid"), line.get("dbname"), line.get("state_code")
    return LogRecord(
        time,
        severity,
        str(line.get("message", "")),
        pid if isinstance(pid, int) else None,
        database if isinstance(database, str) else None,
        sqlstate if isinstance(sqlstate, str) else None,
        attached,
    )


def event_of_record(record: LogRecord, source: str) -> Event:
    """The event that a record tells: an error, a statement with its duration, a wait for a lock, else a log line."""
    details: dict[str, Any] = {
        "severity": record.severity,
        "message": record.message,
        "pid": record.pid,
        "database": record.database,
        "sqlstate": record.sqlstate,
        "detail": _REQUEST_ID.sub("", record.attached.get("DETAIL", "")).strip(),
        **{label.lower(): text for label, text in record.attached.items() if label != "DETAIL"},
    }
    details = {name: value for name, value in details.items() if value not in (None, "")}
    if record.severity in _ERRORS:
        return Event("error", record.message, source, record.time, failed=True, details=details)
    if (waited := _LOCK.match(record.message)) is not None:
        holders = _HOLDERS.search(record.attached.get("DETAIL", ""))
        pids = [int(pid) for pid in re.findall(r"\d{1,9}", holders[1])] if holders else []
        start = _before(record.time, waited[4])
        details.update(lock=waited[3], holder_pids=pids, acquired=waited[2] == "acquired")
        return Event("lock", f"waited for {waited[3]}", source, start, record.time, details=details)
    if (took := _DURATION.match(record.message)) is not None:
        text = took[2] or record.attached.get("STATEMENT") or "statement"
        return Event(
            "statement", " ".join(text.split()), source, _before(record.time, took[1]), record.time, details=details
        )
    return Event("log", record.message, source, record.time, details=details)


def _before(end: datetime, ms: str) -> datetime:
    try:
        return end - timedelta(milliseconds=float(ms))
    except OverflowError:
        return end
