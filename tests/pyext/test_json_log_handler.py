import json
import logging
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler, QueueHandler, QueueListener
from pathlib import Path
from typing import Any

import pytest

from reqtrail.logging import JSONFormatter, JSONHandler, dropped

GENEROUS = 60


def record(message: object = "hello", *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("shop.cart")
    return logger.makeRecord("shop.cart", level, "/src/cart.py", 42, message, args, None, "add", extra)


def messages(path: Path) -> list[str]:
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


@contextmanager
def dropping(reason: str, lines: int | None = None) -> Iterator[None]:
    """Expects that so many lines, or any number, are dropped for this reason, and none for another one."""
    before = dropped()
    yield
    new = {name: count - before[name] for name, count in dropped().items() if count != before[name]}
    assert list(new) == [reason]
    assert lines is None or new[reason] == lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def pipe() -> Iterator[tuple[int, Any]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    with suppress(OSError):  # the test closed it
        os.close(reading)


def test_a_line_is_what_the_formatter_makes_of_the_record(path: Path) -> None:
    written = record("caf\xe9 %d", 1, size=2)
    JSONHandler(path, origin="cli").handle(written)
    assert path.read_text() == JSONFormatter("cli").format(written) + "\n"


def test_it_is_a_handler_like_any_other(path: Path) -> None:
    logger = logging.Logger("shop")
    handler = JSONHandler(path, level="WARNING")
    logger.addHandler(handler)
    logger.info("too mild")
    logger.warning("written")
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.error("a secret")
    logger.error("no problem")
    assert messages(path) == ["written", "no problem"]


def test_other_handlers_hand_records_on_to_it(path: Path) -> None:
    handler = JSONHandler(path)
    memory = MemoryHandler(10, target=handler)
    memory.handle(record("from memory"))
    memory.flush()
    waiting: queue.Queue[Any] = queue.Queue()
    listener = QueueListener(waiting, handler)
    QueueHandler(waiting).handle(record("from a queue"))
    listener.start()
    listener.stop()
    memory.close()
    assert messages(path) == ["from memory", "from a queue"]


def test_a_formatter_of_ones_own(path: Path) -> None:
    class Short(JSONFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return '{"message":"short \ud800"}'

    handler = JSONHandler(path)
    handler.setFormatter(Short())
    handler.handle(record())
    handler.setFormatter(logging.Formatter("%(levelname)s plain"))
    handler.handle(record())
    handler.setFormatter(None)
    handler.handle(record("json again"))
    short, plain, again = path.read_text().splitlines()
    assert (short, plain) == ('{"message":"short ?"}', "INFO plain")
    assert json.loads(again)["message"] == "json again"


def test_a_subclass_that_formats_exceptions_its_own_way(path: Path) -> None:
    class Short(JSONFormatter):
        def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
            return "short"

    handler = JSONHandler(path)
    handler.setFormatter(Short())
    failed = record()
    failed.exc_info = (ValueError, ValueError("x"), None)
    handler.handle(failed)
    assert json.loads(path.read_text())["exception"] == "short"


@pytest.mark.parametrize("target", ["stdout", "stderr"])
def test_standard_output_and_error(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    JSONHandler(target).handle(record("to the console"))
    captured = capfd.readouterr()
    written, other = (captured.out, captured.err) if target == "stdout" else (captured.err, captured.out)
    assert json.loads(written)["message"] == "to the console"
    assert other == ""


def test_an_open_file_may_be_closed_by_its_owner(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("before\n")
        handler = JSONHandler(stream)
        handler.handle(record("one"))
    handler.handle(record("two"))
    lines = path.read_text().splitlines()
    assert lines[0] == "before"
    assert [json.loads(line)["message"] for line in lines[1:]] == ["one", "two"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"overflow": "explode"}, "overflow is 'drop_oldest', 'drop_newest' or 'block', not 'explode'"),
        ({"max_bytes": -1}, "at least"),
        ({"backup_count": 0}, "at least"),
        ({"queue_size": -1}, "at least"),
        ({"max_text_bytes": 3}, "max_text_bytes is at least 64"),
        ({"sample": {"/healthz": 2}}, "sample is a part from 0 to 1"),
        ({"target": 7}, "target is a path"),
    ],
)
def test_an_option_with_a_wrong_value_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        JSONHandler(**options)


def test_redact_is_no_str() -> None:
    with pytest.raises(TypeError, match="redact is a collection of names"):
        JSONHandler(redact="password")


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        JSONHandler(tmp_path / "missing" / "app.log")


def test_a_file_is_rotated_by_size(path: Path) -> None:
    handler = JSONHandler(path, max_bytes=1000, backup_count=2)
    for i in range(30):
        handler.handle(record("line %d", i))
    kept = [Path(f"{path}.2"), Path(f"{path}.1"), path]
    assert messages(path)[-1] == "line 29"
    assert all(0 < part.stat().st_size <= 1000 for part in kept)
    assert sorted(path.parent.iterdir()) == sorted(kept)


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handler = JSONHandler("app.log", max_bytes=200, backup_count=1)
    monkeypatch.chdir("/")
    for i in range(5):
        handler.handle(record("line %d", i))
    assert messages(tmp_path / "app.log") == ["line 4"]


# ---- whatever happens ----


class Raising:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


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


# ---- asynchronously ----


def test_queued_lines_are_written_in_order(path: Path) -> None:
    handler = JSONHandler(path, queue_size=10_000)
    for i in range(5000):
        handler.handle(record("%d", i))
    handler.flush()
    assert messages(path) == [str(i) for i in range(5000)]
    handler.close()
    handler.handle(record("late"))
    assert messages(path)[-1] == "late"


@pytest.mark.parametrize(("overflow", "last"), [("drop_oldest", "99"), ("drop_newest", None)])
def test_a_full_queue_drops_and_counts(pipe: tuple[int, Any], overflow: str, last: str | None) -> None:
    reading, stream = pipe
    handler = JSONHandler(stream, queue_size=3, overflow=overflow)
    handler.handle(record("x" * 65_000))
    handler.handle(record("x" * 65_000))  # the thread waits for the reader from here on
    with dropping("queue_full"):
        for i in range(100):
            handler.handle(record("%d", i))
    text = bytearray()

    def read_on() -> None:
        while part := os.read(reading, 1 << 16):
            text.extend(part)

    reader = threading.Thread(target=read_on)
    reader.start()
    handler.flush()
    handler.close()
    del handler
    stream.close()
    reader.join(GENEROUS)
    written = [json.loads(line)["message"] for line in text.splitlines()]
    assert ("99" in written) == (last == "99")


def test_a_process_that_ends_writes_what_is_queued(path: Path) -> None:
    program = (
        "import logging, sys; from reqtrail.logging import setup; setup(file=sys.argv[1], queue_size=10000)\n"
        "for i in range(2000): logging.info('%d', i)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd="/", timeout=GENEROUS)
    assert messages(path) == [str(i) for i in range(2000)]


def test_a_child_of_multiprocessing_writes_what_is_queued(path: Path) -> None:
    program = (
        "import logging, sys, multiprocessing; from reqtrail.logging import setup\n"
        "def child():\n"
        "    for i in range(500): logging.info('%d', i)\n"
        "setup(file=sys.argv[1], queue_size=10000); logging.info('parent')\n"
        "children = [multiprocessing.get_context('fork').Process(target=child) for _ in range(3)]\n"
        "for c in children: c.start()\n"
        "for c in children: c.join()\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd="/", timeout=GENEROUS)
    assert sorted(messages(path)) == sorted(
        [*(str(i) for i in range(500)), *(str(i) for i in range(500)), *(str(i) for i in range(500)), "parent"]
    )


# ---- forks ----


@pytest.mark.parametrize("queue_size", [0, 1000])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_log_whatever_the_parents_threads_were_at(path: Path, queue_size: int) -> None:
    handler = JSONHandler(path, queue_size=queue_size, overflow="block")
    stop = threading.Event()

    def chatter() -> None:
        while not stop.is_set():
            handler.handle(record("parent"))

    def write_one() -> None:
        handler.handle(record("child"))
        handler.flush()

    threads = [threading.Thread(target=chatter) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        children = [fork(write_one) for _ in range(30)]
        assert [ended(child) for child in children] == [0] * 30
    finally:
        stop.set()
        for thread in threads:
            thread.join(GENEROUS)
    handler.close()
    assert messages(path).count("child") == 30


def fork(body: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(GENEROUS)
        body()
        status = 0
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_lines_of_many_processes_stay_whole(path: Path) -> None:
    handler = JSONHandler(path)

    def write() -> None:
        for i in range(200):
            handler.handle(record("%d" + "x" * (i * 97 % 20_000), i))

    children = [fork(write) for _ in range(4)]
    assert [ended(child) for child in children] == [0] * 4
    assert len(messages(path)) == 800


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


# ---- signals, subclasses ----


def test_a_signal_reaches_a_thread_that_waits_for_its_reader(pipe: tuple[int, Any]) -> None:
    _, stream = pipe
    program = (
        "import logging, signal, sys; from reqtrail.logging import JSONHandler\n"
        "handler = JSONHandler(sys.stdout)\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler); signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)\n"
        "record = logging.makeLogRecord({'msg': 'x' * int(sys.argv[1])})\n"
        "try:\n"
        "    while True: handler.handle(record)\n"
        "except KeyboardInterrupt:\n"
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


def test_a_subclass_may_emit_in_its_own_way(path: Path) -> None:
    class Twice(JSONHandler):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            super().emit(record)

    logger = logging.Logger("shop")
    logger.addHandler(Twice(path))
    logger.info("again")
    assert messages(path) == ["again", "again"]


def test_a_subclass_may_format_in_its_own_way(path: Path) -> None:
    class Shouting(JSONHandler):
        def format(self, record: logging.LogRecord) -> str:
            return super().format(record).upper()

    handler = Shouting(path)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.handle(record("loud"))
    assert path.read_text() == "LOUD\n"
