"""JSON log lines, each with the id of the request that it was written for. See docs/logging.md."""

from collections.abc import Iterable, Mapping, MutableMapping
from logging import getLogger
from typing import Any, TextIO

from reqtrail import _installations
from reqtrail._enabled import enabled
from reqtrail._log_handlers import (
    DEFAULT_MAX_TEXT_BYTES,
    JSONFormatter,
    JSONHandler,
    RequestIDFilter,
    SamplingFilter,
    dropped,
    handler_for,
)
from reqtrail._log_setup import Setup, level_number
from reqtrail.context import get_request_id, get_traceparent

__all__ = [
    "DEFAULT_MAX_TEXT_BYTES",
    "JSONFormatter",
    "JSONHandler",
    "RequestIDFilter",
    "SamplingFilter",
    "add_request_id",
    "dropped",
    "reset",
    "setup",
]

for _public in (JSONFormatter, JSONHandler, RequestIDFilter, SamplingFilter, dropped):
    _public.__module__ = __name__  # where users find them, and where pickle looks

_current: Setup | None = None


def setup(
    level: str | int = "INFO",
    origin: str = "api",
    stream: TextIO | None = None,
    *,
    file: Any = None,
    levels: Mapping[str, str | int] | None = None,
    sample: Mapping[str, float] | None = None,
    redact: Iterable[str] = (),
    max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
    max_bytes: int = 0,
    backup_count: int = 5,
    queue_size: int = 0,
    overflow: str = "drop_oldest",
) -> None:
    """Write all log records of this process as JSON lines.

    The root logger gets one handler, in place of those that write to the console; handlers that write elsewhere stay.
    The loggers of uvicorn, gunicorn, hypercorn and Celery hand their records on to it, also if they are set up later.
    Where `reqtrail.install` writes access lines, those of uvicorn and hypercorn are left out: they say less. Calling it
    again replaces all of it. With REQTRAIL_ENABLED=false it does nothing.

    Args:
        level: The least severe level to write: DEBUG, INFO, WARNING, ERROR, CRITICAL, or the number of one.
        origin: What kind of process writes: "api", "worker" or "cli".
        stream: Where the lines go; None is standard output.
        file: The path of a file to append to, in place of a stream.
        levels: Levels of single loggers, by name.
        sample: The part of the access lines to write, by endpoint; see `SamplingFilter`.
        redact: As of `JSONFormatter`; also `max_text_bytes`.
        max_bytes: As of `JSONHandler`; also `backup_count`, `queue_size` and `overflow`.

    Raises:
        ValueError: A level that is none, or an option with a value that it cannot have.
        TypeError: `redact` is one str.
        OSError: The file cannot be opened.
    """
    options = {
        "stream": stream,
        "file": file,
        "sample": dict(sample or {}),
        "redact": redact if isinstance(redact, str) else tuple(redact),
        "max_text_bytes": max_text_bytes,
        "max_bytes": max_bytes,
        "backup_count": backup_count,
        "queue_size": queue_size,
        "overflow": overflow,
    }
    numbers = {name: level_number(wanted) for name, wanted in (levels or {}).items()}
    _set_up(level_number(level), origin, numbers, options, by_application=True)


def setup_unless_done(level: str | int, origin: str = "api", file: str | None = None) -> None:
    """Do what `reqtrail.install` and a Celery worker do about logging.

    That is `setup`; but where the application called `setup` itself, its options stay, and only the origin of a worker
    and its log file take their place. An application that gave the root logger a `JSONHandler` itself is left alone.
    """
    number = level_number(level)
    if _current is None and any(isinstance(handler, JSONHandler) for handler in getLogger().handlers):
        return
    if _current is None or not _current.by_application:
        _set_up(number, origin, {}, {"file": file}, by_application=False)
    elif origin != "api" or file is not None:
        options = {**_current.options, **({} if file is None else {"file": file})}
        _set_up(_current.level, origin, _current.levels, options, by_application=True)


def reset() -> None:
    """Undo `setup`: the handlers, levels and loggers are as they were before it. Does nothing without a `setup`."""
    global _current
    if _current is not None:
        _current.give_back()
        _current = None


def _follow_installations() -> None:
    if _current is not None:
        _current.claim_servers()


_installations.on_change(_follow_installations)


def _set_up(level: int, origin: str, levels: dict[str, int], options: dict[str, Any], *, by_application: bool) -> None:
    global _current
    if not enabled():
        return
    handler = handler_for(origin, **options)
    if _current is None:
        _current = Setup()
    _current.options = options
    _current.by_application = by_application
    _current.take_over(handler, level, levels)


def add_request_id(_logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the current `request_id` into the event, unless it has one: a processor for structlog.

    Where the request came with a traceparent, its `trace_id` too.
    """
    request_id = get_request_id()
    if request_id is not None:
        event_dict.setdefault("request_id", request_id)
    traceparent = get_traceparent()
    if traceparent is not None:
        event_dict.setdefault("trace_id", traceparent[3:35])
    return event_dict
