"""What JSONHandler writes, where to, and that it is a handler like any other."""

import json
import logging
import queue
from logging.handlers import MemoryHandler, QueueHandler, QueueListener
from pathlib import Path
from typing import Any

import pytest

from reqtrail.logging import JSONFormatter, JSONHandler
from tests.pyext.json_log.records import messages, record


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
