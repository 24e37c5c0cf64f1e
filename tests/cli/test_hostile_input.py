"""What is broken, endless, or made to do harm: it is told of in a sentence, and never a traceback or a hang."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys
import termios
import time
import tracemalloc
from pathlib import Path

import pytest

from reqtrail.cli.sources.log_files import LogFilesSource
from tests.cli.command import Command
from tests.cli.json_server import JsonServer
from tests.cli.test_trace_sources import ACCESS, HOLDER, ID, WAIT, line

LONG_NAME = "a" * 300


# Since CPython 3.13 it is a pattern, of a folder that is not there.
NO_SUCH_PATTERN = (
    "'**' can only be an entire path component" if sys.version_info < (3, 13) else "No such file or directory"
)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("~nobody-of-this-name/api.log", "No such file or directory"),
        ("no-such-folder/*.log", "no-such-folder: No such file or directory"),
        (LONG_NAME, "File name too long"),
        ("logs/**.log", NO_SUCH_PATTERN),
        ("cut.log.gz", "while decompressing"),
        (".", "Is a directory"),
    ],
)
def test_logs_that_cannot_be_read_say_why_and_hide_nothing(
    run: Command, tmp_path: Path, pattern: str, reason: str
) -> None:
    packed = gzip.compress(ACCESS.encode())
    (tmp_path / "cut.log.gz").write_bytes(packed[:20] + b"\xff" * 20 + packed[40:])
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    alone = run("trace", ID, "--logs", pattern)
    assert alone.code == 3
    assert reason in alone.err
    beside = run("trace", ID, "--logs", pattern, "--logs", "api.log", "--json")
    assert beside.code == 0
    assert reason in next(source["note"] for source in beside.json["sources"] if source["kind"] == "logs")
    assert run("doctor", "--logs", pattern).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--loki", f"http://{LONG_NAME}/"),
        ("--loki", "http://127.0.0.1:9/", "--loki-tenant", "ü"),
        ("--prometheus", f"http://{LONG_NAME}/"),
        ("--dsn", f"postgresql://me:secret@{LONG_NAME}/shop"),
        ("--dsn", "host=127.0.0.1 port=nonsense password=secret"),
    ],
)
def test_a_server_that_cannot_be_named_or_asked_is_a_failed_source(run: Command, arguments: tuple[str, ...]) -> None:
    done = run("trace", ID, *arguments)
    assert done.code == 3
    assert done.err.startswith("reqtrail: ")
    assert "secret" not in done.out + done.err


def test_what_a_log_says_steers_no_terminal(run: Command, tmp_path: Path) -> None:
    message = "\x1b]0;owned\x07\x1b[31mred\x9b32m \ud83d [bold]b[/bold]"
    (tmp_path / "api.log").write_text(line("app", message=message) + "\n")
    text = run("trace", ID, "--logs", "api.log", "--html", "trail.html")
    assert text.code == 0
    assert "]0;owned" in text.out
    assert "[bold]b[/bold]" in text.out
    page = (tmp_path / "trail.html").read_text()
    for steering in "\x1b\x07\x9b":
        assert steering not in text.out
        assert steering not in page
    assert run("trace", ID, "--logs", "api.log", "--json").json["events"][0]["name"] == message


def test_a_file_of_one_endless_line_is_read_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "binary.log"
    with file.open("wb") as hole:
        hole.truncate(256 << 20)
        hole.seek(0, os.SEEK_END)
        hole.write(f"\n{ACCESS}\n".encode())
    tracemalloc.start()
    try:
        events = LogFilesSource([str(file)]).collect(ID).events
        assert tracemalloc.get_traced_memory()[1] < 128 << 20
    finally:
        tracemalloc.stop()
    assert [event.name for event in events] == ["GET / 200"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_full_disk_is_said_to_be_full(run: Command, tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    with Path("/dev/full").open("wb") as full, run.start("trace", ID, "--logs", "api.log", *flags, stdout=full) as done:
        assert done.communicate()[1] == b"reqtrail: cannot write the output: No space left on device\n"
    assert done.returncode == 2


def test_standard_input_that_is_closed_is_a_failed_source(tmp_path: Path) -> None:
    reqtrail = Path(sys.executable).with_name("reqtrail")
    shell = ["sh", "-c", '"$0" trace some-id --logs - <&-', str(reqtrail)]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "reqtrail: -: -: standard input is closed\n"


def test_an_interrupt_ends_it_while_it_reads_a_log_that_goes_on(run: Command) -> None:
    reading, writing = os.pipe()
    with run.start("trace", ID, "--logs", "-", stdin=reading) as process:
        os.write(writing, f"{ACCESS}\n".encode())
        deadline = time.monotonic() + 60
        while _waiting_bytes(reading):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    os.close(reading)
    os.close(writing)


def _waiting_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"result": [{"stream": 5, "values": [["1", "line"]]}]}},
        {"data": [{"seriesLabels": {}, "exemplars": [{"labels": {"request_id": 5}, "value": {}, "timestamp": "x"}]}]},
        {"data": {"activeTargets": [5], "groups": [5], "activeAlertmanagers": [5], "result": []}},
        {"config": {"original": 5}, "versionInfo": 5},
        "no object",
    ],
)
def test_a_server_may_answer_with_anything(run: Command, answer: object) -> None:
    with JsonServer(lambda *_: (200, answer)) as server:
        for flag in ("--loki", "--prometheus", "--metrics"):
            assert run("trace", ID, flag, server.url).code in (1, 3)
        for flag in ("--loki", "--prometheus", "--alertmanager", "--metrics"):
            assert run("doctor", flag, server.url).code == 1


def test_an_exemplar_of_no_finite_value_is_passed_over(run: Command) -> None:
    series = {"__name__": "celery_task_queue_wait_seconds_bucket", "task": "t"}
    exemplars = [{"labels": {"request_id": ID}, "value": value, "timestamp": 1764000000} for value in ("+Inf", "2.5")]
    answer = {"data": [{"seriesLabels": series, "exemplars": exemplars}]}
    with JsonServer(lambda *_: (200, answer)) as server:
        done = run("trace", ID, "--prometheus", server.url, "--json")
        assert [cause["title"] for cause in done.json["causes"]] == ["Waited 2.50 s in the queue before t was started"]


def test_lines_with_the_name_of_their_container_are_read(run: Command) -> None:
    of_compose = f"api-1  | {ACCESS}\n"
    of_journal = f"Nov 24 07:08:13 host worker[7]: {line('app', message='from the worker')}\n"
    noise = f"api-1  | not {{json}} of {ID}\n"
    done = run("trace", ID, "--logs", "-", "--json", stdin=of_compose + noise + of_journal)
    assert [event["name"] for event in done.json["events"]] == ["GET / 200", "from the worker"]
    assert json.loads(done.out)["found"]


def test_the_holder_of_a_lock_is_found_behind_the_name_of_a_container(run: Command, tmp_path: Path) -> None:
    (tmp_path / "compose.log").write_text(f"postgres-1  | {HOLDER}\npostgres-1  | {WAIT}\n")
    done = run("trace", ID, "--logs", "compose.log", "--json")
    [lock] = done.json["events"]
    assert lock["details"]["held_by"] == ["the-holder"]
