"""What an application's JSON log line tells of a request."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.timeline import Event

_TIME_FIELDS = ("time", "timestamp", "@timestamp", "ts")
_MESSAGE_FIELDS = ("message", "msg", "event")
_LONGEST_SECONDS = 1e8
_ERROR_LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL"})


def parse_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line ends in, or None.

    What comes before it is passed over: `docker compose logs` and journalctl write there whose line it is.
    """
    try:
        value = json.loads(line[max(0, line.find("{")) :], parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def event_of(record: Mapping[str, Any], request_id: str, source: str) -> Event | None:
    """The event that a line of the request tells; None for a line of another one, or without a time.

    The lines of `reqtrail.access` and `reqtrail.task` come at the end of what they tell of, and say how long it took.
    """
    if record.get("request_id") != request_id:
        return None
    written = parse_moment(_first(record, _TIME_FIELDS))
    if written is None:
        return None
    logger = record.get("logger")
    message = _text(_first(record, _MESSAGE_FIELDS))
    level = _text(record.get("level")).upper()
    seconds = _seconds(record.get("duration"))
    start = written if seconds is None else written - timedelta(seconds=seconds)
    if logger == "reqtrail.access":
        failed = _status(record) >= 500
        return Event("request", message, source, start, written, failed=failed, details=record)
    if logger == "reqtrail.task":
        failed = record.get("state") == "FAILURE"
        name = f"{_text(record.get('task'))} {_text(record.get('state'))}".strip() or message
        end, due = None if seconds is None else written, parse_moment(record.get("eta"))
        return Event("task", name, source, start, end, failed=failed, details=record, due=due)
    if level in _ERROR_LEVELS or logger == "reqtrail.error":
        return Event("error", _error_name(record, message), source, written, failed=True, details=record)
    return Event("log", message, source, written, details=record)


def begun_as_errors_say(events: Iterable[Event]) -> list[Event]:
    """Move each failed request to where its error line says that it began.

    The access line of a failed request comes after the error line, whose traceback takes a while to write.
    """
    found = list(events)
    begun = {
        _route(error): error.start - timedelta(seconds=seconds)
        for error in found
        if error.kind == "error" and error.details.get("logger") == "reqtrail.error"
        if (seconds := _seconds(error.details.get("duration"))) is not None
    }
    moved = []
    for event in found:
        start = begun.get(_route(event)) if event.kind == "request" else None
        if start is not None and event.end is not None and start < event.start:
            event = replace(event, start=start, end=start + (event.end - event.start))
        moved.append(event)
    return moved


def _route(event: Event) -> tuple[str, str]:
    return _text(event.details.get("method")), _text(event.details.get("endpoint"))


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _seconds(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < _LONGEST_SECONDS:
        return None
    return float(value)


def _status(record: Mapping[str, Any]) -> int:
    status = record.get("status_code")
    return status if isinstance(status, int) else 0


def _error_name(record: Mapping[str, Any], message: str) -> str:
    kind, text = _text(record.get("error_type")), _text(record.get("error_message"))
    cause = f"{kind}: {text.splitlines()[0]}" if kind and text else kind or message
    return cause or message
