"""Whatever happens, a line that cannot be written is counted, and nobody who logs is harmed or held up."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from reqtrail.logging import JSONFormatter, JSONHandler
from tests.pyext.json_log.records import GENEROUS, dropping, messages, record


def test_a_full_disk_fails_nobody() -> None:
    handler = JSONHandler("/dev/full")
    with dropping("disk_full", 2):
        handler.handle(record())
        handler.emit(record())


def test_a_line_that_does_not_fit_is_not_begun(path: Path) -> None:
    handler = JSONHandler(path)
    handler.handle(record("first"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with dropping("disk_full", 1):
            handler.handle(record("second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    handler.handle(record("third"))
    assert messages(path) == ["first", "third"]


def test_a_reader_that_went_away(pipe: tuple[int, Any]) -> None:
    reading, stream = pipe
    handler = JSONHandler(stream)
    os.close(reading)
    with dropping("closed", 1):
        handler.handle(record())


def test_a_reader_that_stalls(pipe: tuple[int, Any]) -> None:
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    os.set_blocking(reading, False)
    handler = JSONHandler(stream)
    with dropping("stalled"):
        for _ in range(500):
            handler.handle(record("x" * 1000))
    os.read(reading, 1 << 20)
    handler.handle(record("goes on"))
    assert json.loads(os.read(reading, 1 << 20))["message"] == "goes on"


def test_a_filter_or_formatter_that_raises_costs_its_line_only(path: Path) -> None:
    handler = JSONHandler(path)

    def fails(_: logging.LogRecord) -> bool:
        raise ValueError

    handler.addFilter(fails)
    with dropping("error", 1):
        handler.handle(record())
    handler.removeFilter(fails)

    class Failing(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            raise ValueError

    handler.setFormatter(Failing())
    with dropping("error", 1):
        handler.handle(record())
    handler.setFormatter(None)
    with dropping("error", 1):
        handler.handle(7)  # type: ignore[arg-type]  # the subject
    handler.handle(record("fine"))
    assert messages(path) == ["fine"]


class Raising:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


def test_keyboard_interrupt_is_not_swallowed(path: Path) -> None:
    handler = JSONHandler(path)
    for write in (handler.handle, handler.emit):
        with pytest.raises(KeyboardInterrupt):
            write(record("%s", Raising(KeyboardInterrupt)))
    handler.handle(record("%s", Raising(ValueError)))
    assert messages(path) == ["%s"]


def test_a_value_that_logs_while_it_is_written(path: Path) -> None:
    handler = JSONHandler(path)

    class Chatty:
        def __str__(self) -> str:
            handler.handle(record("inner"))
            return "chatty"

    handler.handle(record("%s outer", Chatty()))
    assert messages(path) == ["inner", "chatty outer"]


def test_other_threads_run_while_a_line_waits_for_its_reader(pipe: tuple[int, Any]) -> None:
    reading, stream = pipe
    handler = JSONHandler(stream)
    line = record("x" * 60_000)
    handler.handle(line)  # nearly all the room there is
    writers = [threading.Thread(target=handler.handle, args=(line,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    text = b""
    while text.count(b"\n") < 3:  # this thread is not stopped by the two that wait
        text += os.read(reading, 1 << 16)
    for writer in writers:
        writer.join(GENEROUS)
    assert [json.loads(line)["message"] for line in text.splitlines()] == ["x" * 60_000] * 3


def test_a_handler_that_refers_to_itself_is_collected(path: Path) -> None:
    import gc
    import weakref

    handler = JSONHandler(path)
    formatter = JSONFormatter()
    formatter.handler = handler  # type: ignore[attr-defined]  # the cycle
    handler.setFormatter(formatter)
    gone = weakref.ref(handler)
    del handler, formatter
    gc.collect()
    assert gone() is None


def test_a_signal_reaches_a_thread_that_waits_for_its_reader(pipe: tuple[int, Any]) -> None:
    _, stream = pipe
    program = (
        "import logging, signal, sys; from reqtrail.logging import JSONHandler\n"
        "handler = JSONHandler(sys.stdout)\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "record = logging.makeLogRecord({'msg': 'x' * int(sys.argv[1])})\n"
        "try:\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)\n"
        "    while True: handler.handle(record)\n"
        "except KeyboardInterrupt:\n"
        "    signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "    sys.exit(7)\n"
    )
    for size in ("100", "30000"):  # lines that a pipe takes whole or not at all, and lines that it takes in parts
        ended = subprocess.run([sys.executable, "-c", program, size], stdout=stream, cwd="/", timeout=GENEROUS)
        assert ended.returncode == 7


def test_what_a_signal_handler_raises_is_not_swallowed(pipe: tuple[int, Any]) -> None:
    class SoftTimeLimitError(Exception):
        pass

    def raising(*_: object) -> None:
        raise SoftTimeLimitError

    _, stream = pipe
    handler = JSONHandler(stream)

    def fill_the_pipe() -> None:
        while True:
            handler.handle(record("x" * 100))

    before = signal.signal(signal.SIGALRM, raising)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        with pytest.raises(SoftTimeLimitError):
            fill_the_pipe()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_dropped_lines_are_in_the_metrics(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from reqtrail import metrics; from reqtrail.logging import setup, JSONHandler\n"
        "metrics.open_segment('test', sys.argv[1]); setup(file='/dev/full')\n"
        "for i in range(3): logging.info('lost')\n"
        "print(metrics.render()[0].decode())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path], check=True, capture_output=True, text=True, cwd="/", timeout=GENEROUS
    )
    assert 'reqtrail_log_lines_dropped_total{reason="disk_full"} 3' in ended.stdout
