"""Lines that a queue holds, and lines of processes that fork or end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reqtrail.logging import JSONHandler
from tests.pyext.json_log.records import GENEROUS, dropping, messages, record


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


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_lines_of_many_processes_stay_whole(path: Path) -> None:
    handler = JSONHandler(path)

    def write() -> None:
        for i in range(200):
            handler.handle(record("%d" + "x" * (i * 97 % 20_000), i))

    children = [fork(write) for _ in range(4)]
    assert [ended(child) for child in children] == [0] * 4
    assert len(messages(path)) == 800
