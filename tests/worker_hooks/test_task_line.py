"""The two ways of the line of a task that ended: straight to the one handler that writes it, or as a record."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reqtrail
from reqtrail._task_log import write_ended
from reqtrail.logging import JSONHandler
from tests.pyext.json_log.records_made import records_made
from tests.worker_hooks import worker_app

TASKS = logging.getLogger("reqtrail.task")
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Gives the tasks' logger a `JSONHandler` of its own and nothing else; returns the lines since the last call."""
    path, level, handler = tmp_path / "log", TASKS.level, JSONHandler(tmp_path / "log")
    monkeypatch.setattr(TASKS, "parent", logging.Logger("parent"))  # pytest has handlers of its own at the root
    TASKS.setLevel(logging.INFO)
    TASKS.addHandler(handler)
    assert TASKS.isEnabledFor(logging.INFO)  # which it remembers: until then every line is a record
    token = reqtrail.set_request_id("abc")
    read = 0

    def lines() -> list[dict[str, Any]]:
        nonlocal read
        new = path.read_text().splitlines()[read:]
        read += len(new)
        return [json.loads(line) for line in new]

    yield lines
    reqtrail.reset_request_id(token)
    TASKS.removeHandler(handler)
    TASKS.setLevel(level)
    handler.close()


def ended(
    state: str = "SUCCESS", *, result: object = None, seconds: float | None = 0.25, task: Any = None
) -> list[str]:
    """The names of the loggers of which a record was made for the line."""
    with records_made() as made:
        write_ended(task or worker_app.look, "task-1", state, result, seconds, None)
    return made


@pytest.mark.parametrize("seconds", [0.25, None])
def test_both_ways_write_the_same(log: Log, seconds: float | None) -> None:
    assert ended(seconds=seconds) == []
    TASKS.addFilter(lets_pass)
    try:
        assert ended(seconds=seconds) == ["reqtrail.task"]
    finally:
        TASKS.removeFilter(lets_pass)
    direct, by_record = log()
    assert direct.pop("time") <= by_record.pop("time")
    assert direct == by_record
    assert {"request_id": "abc", "task": worker_app.look.name, "task_id": "task-1", "state": "SUCCESS"}.items() <= (
        direct.items()
    )
    assert direct["message"] == f"task {worker_app.look.name} SUCCESS"
    assert direct.get("duration") == seconds


def lets_pass(_record: logging.LogRecord) -> bool:
    return True


@pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
def test_a_task_that_did_not_succeed_is_a_record(log: Log, state: str) -> None:
    assert ended(state, result=ValueError("no")) == ["reqtrail.task"]
    [line] = log()
    assert (line["state"], line["error_type"], line["error_message"]) == (state, "ValueError", "no")


def test_levels_count_at_once(log: Log) -> None:
    TASKS.setLevel(logging.WARNING)
    assert ended() == []
    TASKS.setLevel(logging.INFO)
    assert ended() == ["reqtrail.task"]  # nobody has asked the logger since
    assert ended() == []
    assert len(log()) == 2


def test_a_task_without_a_name_is_an_error_of_the_caller_and_no_line(log: Log) -> None:
    with pytest.raises(AttributeError, match="name"):
        ended(task=object())
    assert log() == []
