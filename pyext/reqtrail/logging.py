"""JSON log lines, each with the id of the request that it was written for."""

import logging
import sys
from typing import TextIO

from reqtrail._enabled import enabled
from reqtrail._native import RecordFormatter

__all__ = ["JSONFormatter", "reset", "setup"]

# These come with handlers of their own, or do not hand their records on.
_SERVER_LOGGERS = ("uvicorn", "uvicorn.error", "gunicorn.error", "gunicorn.access", "celery", "celery.task")
# The access line of reqtrail says the same and more.
_SILENCED = "uvicorn.access"


class JSONFormatter(RecordFormatter, logging.Formatter):
    """Formats a log record as one JSON line, whatever is in the record; for use with any handler.

    The line has time (RFC 3339, UTC, microseconds), level, logger, message, request_id (unless there is none), origin,
    module, function and line, then whichever apply of endpoint, method, status_code, duration (seconds), task, task_id,
    error_type, error_message, user_id and exception (the traceback), then all other extras of the record.
    """

    def __init__(self, origin: str = "api", *, ascii_only: bool = False) -> None:
        """Make one.

        Args:
            origin: What kind of process writes: "api", "worker" or "cli".
            ascii_only: Escape every character outside ASCII, for a stream that cannot encode it.
        """
        logging.Formatter.__init__(self)
        self.configure(origin, ascii_only)


class _Setup:
    """What `setup` changed, so that `reset` can put it back. Handlers that others add or remove meanwhile stay so."""

    def __init__(self) -> None:
        self.handler: logging.Handler = logging.NullHandler()
        self._level = logging.getLogger().level
        self._removed: list[tuple[logging.Logger, logging.Handler]] = []
        self._propagate: dict[logging.Logger, bool] = {}

    def take_over(self, handler: logging.Handler, level: int) -> None:
        root = logging.getLogger()
        root.removeHandler(self.handler)
        for logger in (root, *map(logging.getLogger, (*_SERVER_LOGGERS, _SILENCED))):
            for console in filter(_writes_to_console, logger.handlers[:]):
                logger.removeHandler(console)
                self._removed.append((logger, console))
            if logger is not root:
                self._propagate.setdefault(logger, logger.propagate)
                logger.propagate = logger.name != _SILENCED
        self.handler = handler
        root.addHandler(handler)
        root.setLevel(level)

    def give_back(self) -> None:
        root = logging.getLogger()
        root.removeHandler(self.handler)
        root.setLevel(self._level)
        for logger, console in self._removed:
            logger.addHandler(console)
        for logger, propagate in self._propagate.items():
            logger.propagate = propagate


_current: _Setup | None = None


def setup(level: str | int = "INFO", origin: str = "api", stream: TextIO | None = None) -> None:
    """Write all log records of this process as JSON lines.

    The root logger gets one handler, in place of those that write to the console; handlers that write elsewhere stay.
    The loggers of uvicorn, gunicorn and Celery hand their records on to it; uvicorn's access lines no longer reach the
    console, because reqtrail writes one with more in it. Calling it again changes level, origin and stream. With
    REQTRAIL_ENABLED=false it does nothing.

    Args:
        level: The least severe level to write: DEBUG, INFO, WARNING, ERROR, CRITICAL, or the number of one.
        origin: What kind of process writes: "api", "worker" or "cli".
        stream: Where the lines go; None is standard output.

    Raises:
        ValueError: `level` is no level.
    """
    global _current
    number = _level_number(level)
    if not enabled():
        return
    target = sys.stdout if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(JSONFormatter(origin, ascii_only=not _encodes_all(target)))
    if _current is None:
        _current = _Setup()
    _current.take_over(handler, number)


def reset() -> None:
    """Undo `setup`: the handlers, levels and loggers are as they were before it. Does nothing without a `setup`."""
    global _current
    if _current is not None:
        _current.give_back()
        _current = None


def _writes_to_console(handler: logging.Handler) -> bool:
    console = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in console


def _encodes_all(stream: TextIO) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(encoding).lower().replace("-", "").replace("_", "") in {"utf8", "utf8sig", "utf16", "utf32"}


def _level_number(level: str | int) -> int:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        names = "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        raise ValueError(f"level is {names}, or the number of a level, not {level!r}")
    return number
