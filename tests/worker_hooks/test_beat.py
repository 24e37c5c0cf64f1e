"""Tasks that no request publishes: those of a schedule."""

import os
import sys
from pathlib import Path

from devstack.process import ServerProcess
from tests.waiting import wait_for
from tests.worker_hooks.conftest import REPOSITORY, Servers, Worker, worker_environment


def test_a_scheduled_task_works_for_a_request_named_like_itself(
    prefork: Worker, redis: Servers, tmp_path: Path
) -> None:
    before = len(prefork.lines())

    def ended() -> list[dict[str, str]]:
        return [line for line in prefork.lines()[before:] if line["logger"] == "reqtrail.task"]

    beat = ServerProcess(
        [sys.executable, "-m", "celery", "-A", "tests.worker_hooks.worker_app", "beat", f"--schedule={tmp_path}/beat"],
        log=tmp_path / "beat.log",
        env={**worker_environment(redis), "WORKER_APP_BEAT": "1", "PATH": os.environ["PATH"]},
        cwd=REPOSITORY,
    )
    try:
        wait_for(lambda: len(ended()) >= 2, seconds=60)
    finally:
        beat.stop()
    lines = ended()
    assert all(line["request_id"] == line["task_id"] for line in lines)
    assert len({line["request_id"] for line in lines}) == len(lines)
