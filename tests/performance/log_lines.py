"""Nanoseconds that a handler takes to format one record as JSON and write it, ours and the peers', in one run.

All write to /dev/null, one write(2) a line, because what a file system takes is the same for all; one row shows it
with a file. Every round measures each candidate once; the fastest round counts, which a busy machine disturbs least.
structlog takes part as a formatter of such records, and, where a whole call is measured, also with its own loggers,
which make no record.
"""

import gc
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import structlog
from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

import reqtrail
from reqtrail.logging import JSONHandler
from tests.performance.report import BenchRow, write

ROUNDS = 60
CALLS = 500
ID = "0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1"
ACCESS = {"endpoint": "/api/v1/repositories/{id}", "method": "GET", "status_code": 200, "duration": 0.0042}
FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s %(module)s %(funcName)s %(lineno)d"
COMMAND = "python -m tests.performance.log_lines"
PYTHON_JSON_LOGGER = f"python-json-logger {version('python-json-logger')}"
STRUCTLOG = f"structlog {version('structlog')}"
ORJSON = f"orjson {version('orjson')}"

Call = Callable[[], object]


def _record(with_extras: bool) -> logging.LogRecord:
    if with_extras:
        args: tuple[object, ...] = ("GET", ACCESS["endpoint"], 200)
        extra: dict[str, Any] | None = ACCESS
        message = "%s %s %d"
    else:
        message, args, extra = "added %d to the cart", (3,), None
    return logging.getLogger("shop").makeRecord("shop", 20, "/src/cart.py", 42, message, args, None, "add", extra)


def _structlog_formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            reqtrail.logging.add_request_id,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event).decode()),
        ],
    )


class _Files:
    """The files that the candidates write to; closed when the measurement is over."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open = ExitStack()

    def stream_handler(self, formatter: logging.Formatter) -> logging.Handler:
        stream = Path(self.path).open("a", encoding="utf-8")  # noqa: SIM115 - close() does
        handler = logging.StreamHandler(self._open.enter_context(stream))
        handler.setFormatter(formatter)
        return handler

    def structlog_logger(self) -> Any:
        stream = Path(self.path).open("ab", buffering=0)  # noqa: SIM115 - close() does
        self._open.enter_context(stream)
        return structlog.wrap_logger(
            structlog.BytesLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                reqtrail.logging.add_request_id,
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
        )

    def close(self) -> None:
        self._open.close()


def _best(calls: dict[str, Call]) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.freeze()
    for round_ in range(ROUNDS + 3):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            if round_ >= 3:  # the first ones warm up
                measured[name].append((time.perf_counter_ns() - started) / CALLS)
    gc.unfreeze()
    return measured


def _row(name: str, calls: dict[str, Call], goal: float | None) -> BenchRow:
    measured = _best(calls)
    ours = measured.pop("ours")
    fifth = len(ours) // 5
    parts = [min(ours[start : start + fifth]) for start in range(0, 5 * fifth, fifth)]
    return {
        "name": name,
        "unit": "ns a line",
        "ours": round(min(ours), 1),
        "goal": goal,
        "better": "lower",
        "peers": {peer: round(min(values), 1) for peer, values in measured.items()},
        "spread": round((max(parts) - min(parts)) / 2 / min(ours), 3),
        "command": COMMAND,
    }


def _handlers(files: _Files) -> dict[str, logging.Handler]:
    return {
        "ours": JSONHandler(files.path),
        "logging.Formatter (not JSON)": files.stream_handler(logging.Formatter(FIELDS)),
        PYTHON_JSON_LOGGER: files.stream_handler(JsonFormatter(FIELDS)),
        f"{PYTHON_JSON_LOGGER} + {ORJSON}": files.stream_handler(OrjsonFormatter(FIELDS)),
        f"{STRUCTLOG} as a formatter + {ORJSON}": files.stream_handler(_structlog_formatter()),
    }


def _written(name: str, path: str, *, with_extras: bool, goal: float | None) -> BenchRow:
    files = _Files(path)
    record = _record(with_extras)

    def handling(handler: logging.Handler) -> Call:
        return lambda: handler.handle(record)

    try:
        return _row(name, {peer: handling(handler) for peer, handler in _handlers(files).items()}, goal)
    finally:
        files.close()


def _whole_calls(path: str) -> BenchRow:
    files = _Files(path)

    def calling(handler: logging.Handler) -> Call:
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        return lambda: logger.info("added %d to the cart", 3, extra=ACCESS)

    try:
        calls = {peer: calling(handler) for peer, handler in _handlers(files).items()}
        events = files.structlog_logger()
        calls[f"{STRUCTLOG} + {ORJSON}"] = lambda: events.info("added to the cart", items=3, **ACCESS)
        return _row("log: a whole call of logger.info()", calls, None)
    finally:
        files.close()


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about 10 seconds."""
    token = reqtrail.set_request_id(ID)
    with tempfile.TemporaryDirectory() as directory:
        file = str(Path(directory) / "app.log")
        try:
            return [
                _written("log: one record as JSON, written", "/dev/null", with_extras=False, goal=1000),
                _written("log: one access record as JSON, written", "/dev/null", with_extras=True, goal=1000),
                _written("log: one record as JSON, to a file", file, with_extras=False, goal=None),
                _whole_calls("/dev/null"),
            ]
        finally:
            reqtrail.reset_request_id(token)


if __name__ == "__main__":
    write("log_lines", rows())
