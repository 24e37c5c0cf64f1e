"""The formatter, the handler and the filters of `reqtrail.logging`."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MethodType
from typing import Any, TextIO

from reqtrail import _native, metrics
from reqtrail.context import get_request_id

DEFAULT_MAX_TEXT_BYTES = 65536
"""A message, traceback or other text that is longer is cut."""

_FLUSH_SECONDS = 5.0
_DESCRIPTORS = {"stdout": 1, "stderr": 2}

_dropped_total = metrics.Counter(
    "reqtrail_log_lines_dropped", "Log lines that could not be written, by reason.", ["reason"]
)
_sampled_total = metrics.Counter(
    "reqtrail_log_lines_sampled", "Access lines that were held back on purpose, by endpoint.", ["endpoint"]
)


class JSONFormatter(_native.RecordFormatter, logging.Formatter):
    """Formats a log record as one JSON line, whatever is in the record; for use with any handler.

    The line has time (RFC 3339, UTC, microseconds), level, logger, message, request_id (unless there is none), origin,
    module, function and line, then whichever apply of endpoint, method, status_code, duration (seconds), task, task_id,
    error_type, error_message, user_id and exception (the traceback), then all other extras of the record.
    """

    def __init__(
        self,
        origin: str = "api",
        *,
        ascii_only: bool = False,
        redact: Iterable[str] = (),
        max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
    ) -> None:
        """Make one.

        Args:
            origin: What kind of process writes: "api", "worker" or "cli".
            ascii_only: Escape every character outside ASCII, for a stream that cannot encode it.
            redact: Names of extras, and of keys of dicts in them, whose values become "[redacted]". Upper and lower
                case are the same. What a message says in its text is not looked at.
            max_text_bytes: The most bytes of UTF-8, at least 64, that one text may have: of a longer message the start
                is kept, of a traceback start and end. A line with 4 times as much leaves out the extras that follow.

        Raises:
            ValueError: `max_text_bytes` is below 64.
            TypeError: `redact` is one str, or has something else in it.
        """
        logging.Formatter.__init__(self)
        if isinstance(redact, str):
            raise TypeError("redact is a collection of names, not one str")
        self.configure(origin, ascii_only, max_text_bytes, tuple(redact))


class JSONHandler(_native.RecordHandler, logging.Handler):
    """Formats log records as JSON lines and writes them, in C++, whole and in one write(2) each.

    It never raises, and nothing keeps other threads from running while it writes. A line that cannot be written is
    counted: `dropped()`, and `reqtrail_log_lines_dropped_total` in the metrics. It works in children after a fork,
    whatever the threads of the parent were at.
    """

    def __init__(
        self,
        target: "str | os.PathLike[str] | TextIO" = "stdout",
        level: int | str = logging.NOTSET,
        *,
        origin: str = "api",
        max_bytes: int = 0,
        backup_count: int = 5,
        queue_size: int = 0,
        overflow: str = "drop_oldest",
        sample: Mapping[str, float] | None = None,
        redact: Iterable[str] = (),
        max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
        ascii_only: bool = False,
    ) -> None:
        """Make one.

        Args:
            target: "stdout", "stderr", an open file or stream with a descriptor, or the path of a file to append to. A
                file that is renamed or deleted (logrotate) is opened anew within a second.
            level: The least severe level to write.
            origin: As of `JSONFormatter`; also `redact`, `max_text_bytes` and `ascii_only`.
            max_bytes: The size of the file at which it is renamed to <path>.1, and so on; 0 is never. Any number of
                processes may write to it.
            backup_count: How many renamed files are kept, at least 1.
            queue_size: How many lines may wait for the process's one logging thread to write them; 0: there is none,
                and every line is written by the thread that logs it.
            overflow: What happens when so many wait: "drop_oldest", "drop_newest" (both counted) or "block".
            sample: As of `SamplingFilter`.

        Raises:
            OSError: The file cannot be opened.
            ValueError: An option has a value that it cannot have; `target` is a stream without a descriptor.
            TypeError: `redact` is one str.
        """
        logging.Handler.__init__(self, level)
        if max_bytes < 0 or queue_size < 0 or backup_count < 1:
            raise ValueError("max_bytes and queue_size are at least 0, backup_count at least 1")
        self._default_formatter = JSONFormatter(
            origin, ascii_only=ascii_only, redact=redact, max_text_bytes=max_text_bytes
        )
        self._rates = _rates(sample)
        self._to_console = target in _DESCRIPTORS or _descriptor(target) in _DESCRIPTORS.values()
        self._direct = _sink(target, max_bytes, backup_count)
        self._sink: _native.LogSink | None = self._direct
        queued = _native.async_sink(self._direct, queue_size or 1, overflow)  # refuses a wrong overflow in any case
        if queue_size:
            self._sink = queued
            _flush_when_children_end(self)
        if type(self).emit is not JSONHandler.emit:
            # A subclass that emits in its own way: then as logging does it, which `super().emit(record)` fits into.
            self.__dict__["handle"] = MethodType(logging.Handler.handle, self)
        self.setFormatter(None)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - logging's name
        """Use another formatter, such as a subclass of `JSONFormatter`; None is the one made with the handler.

        What it returns is written as it is, so a line that stays one line is then its affair.
        """
        super().setFormatter(fmt)
        self._connect()

    def flush(self) -> None:
        """Wait until what is queued has been written, for up to 5 seconds."""
        if self._sink is not None:
            self._sink.drain(_FLUSH_SECONDS)

    def close(self) -> None:
        """Stop queueing. What cannot be written at once is dropped and counted; later lines are written directly."""
        if self._sink is not None and self._sink is not self._direct:
            written = self._sink.drain(0.1)
            if not written:
                self._sink.abandon()
            # A direct write would wait behind the one that the thread is stuck in.
            self._sink = self._direct if written else None
            self._connect()
        logging.Handler.close(self)

    def _connect(self) -> None:
        formats_itself = type(self).format is not logging.Handler.format
        self.connect(self._sink, self if formats_itself else self.formatter or self._default_formatter, self._rates)

    @property
    def writes_to_console(self) -> bool:
        """Whether it was made for standard output or standard error."""
        return self._to_console


class RequestIDFilter(logging.Filter):
    """Puts `request_id` on every record, for a format string of one's own: `%(request_id)s`."""

    def __init__(self, name: str = "", *, default: str = "-", length: int | None = None) -> None:
        """Make one.

        Args:
            name: As of `logging.Filter`: only records of this logger and those below it pass; "" is all.
            default: What a record outside of a request gets.
            length: How many characters of the id to keep; None is all.
        """
        super().__init__(name)
        self._default = default
        self._length = length

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the id on the record, unless it has one."""
        if getattr(record, "request_id", None) is None:
            record.request_id = (get_request_id() or self._default)[: self._length]
        return bool(super().filter(record))


class SamplingFilter(logging.Filter):
    """Lets a part of the access lines of noisy endpoints pass; for a handler of one's own (`JSONHandler` has it).

    The lines that pass are spread evenly, and the first is one of them. Lines about an error (a status of 400 or more,
    or WARNING or worse) and lines of other loggers than `reqtrail.access` always pass. Those held back are counted in
    `reqtrail_log_lines_sampled_total`.
    """

    def __init__(self, sample: Mapping[str, float]) -> None:
        """Make one. `sample` is the part, 0 to 1, by endpoint (the route template); "*" is all that are not named.

        Raises ValueError for a part outside of 0 to 1.
        """
        super().__init__()
        self._sampling = _native.AccessSampling(_rates(sample) or {})

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        return self._sampling.passes(record)


def dropped() -> dict[str, int]:
    """Return how many lines this process did not write, by reason.

    disk_full, closed (the pipe's reader went away), stalled (it does not read), queue_full, exit (queued when the
    process ended) and error (anything else).
    """
    return _native.dropped_log_lines()


def handler_for(
    origin: str, *, stream: TextIO | None = None, file: Any = None, sample: Any = None, **options: Any
) -> logging.Handler:
    """Make the handler that `setup` puts on the root logger; raises what `JSONHandler` raises."""
    if file is not None:
        return JSONHandler(file, origin=origin, sample=sample, **options)
    target = stream if stream is not None else sys.stdout or sys.stderr
    if target is None:
        return logging.NullHandler()  # a process without a console
    encoding = str(getattr(target, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    ascii_only = not encoding.startswith("utf")
    if _descriptor(target) is not None and not encoding.startswith(("utf16", "utf32", "utf7")):
        return JSONHandler(target, origin=origin, sample=sample, ascii_only=ascii_only, **options)
    handler = logging.StreamHandler(target)
    formatting = {name: options[name] for name in ("redact", "max_text_bytes") if name in options}
    handler.setFormatter(JSONFormatter(origin, ascii_only=ascii_only, **formatting))
    if sample:
        handler.addFilter(SamplingFilter(sample))
    return handler


def _sink(target: Any, max_bytes: int, backup_count: int) -> _native.LogSink:
    if isinstance(target, str | os.PathLike):
        if target in _DESCRIPTORS:
            return _native.descriptor_sink(_DESCRIPTORS[str(target)], False)
        return _native.file_sink(os.fsencode(os.path.abspath(target)), max_bytes, backup_count)  # noqa: PTH100 - bytes too
    descriptor = _descriptor(target)
    if descriptor is None:
        raise ValueError(f"target is a path, 'stdout', 'stderr' or a file with a descriptor, not {target!r}")
    target.flush()
    if descriptor in _DESCRIPTORS.values():
        return _native.descriptor_sink(descriptor, False)
    # A descriptor of our own: the number of another's may be closed, and then stand for something else.
    return _native.descriptor_sink(os.dup(descriptor), True)


def _descriptor(stream: Any) -> int | None:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if isinstance(descriptor, int) else None


def _rates(sample: Mapping[str, float] | None) -> dict[str, tuple[float, Callable[[], None]]] | None:
    if not sample:
        return None
    for endpoint, rate in sample.items():
        if not 0 <= rate <= 1:
            raise ValueError(f"sample is a part from 0 to 1, not {rate!r} for {endpoint!r}")
    return {endpoint: (float(rate), partial(_count_sampled, endpoint)) for endpoint, rate in sample.items()}


def _count_sampled(endpoint: str) -> None:
    _sampled_total.labels(endpoint).inc()


def _count_dropped(reason: str, lines: int) -> None:
    _dropped_total.labels(reason).inc(lines)


def _flush_when_children_end(handler: JSONHandler) -> None:
    """Let children of multiprocessing and billiard (Celery) flush: they end without Python's own exit."""
    from multiprocessing import util

    for module in (util, sys.modules.get("billiard.util")):
        if module is not None:
            module.register_after_fork(handler, partial(_flush_at_exit_of_child, module))


def _flush_at_exit_of_child(module: Any, handler: JSONHandler) -> None:
    module.Finalize(None, handler.flush, exitpriority=0)


_native.set_drop_handler(_count_dropped)
