"""What goes wrong meanwhile: processes that are killed, servers that are restarted."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from devstack.commandcenter import CommandCenter


class Disturbance(NamedTuple):
    """Something that goes wrong."""

    name: str
    happen: Callable[[CommandCenter, random.Random], None]
    forgets: bool = False
    """Whether PostgreSQL crashes, and so forgets its statistics."""
    kills_api_worker: bool = False
    kills_task_process: bool = False


def children(pid: int, having: str = "") -> list[int]:
    """The child processes whose command line has `having` in it."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in found if having in _command_line(child)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""


def _kill_one(pids: list[int], chance: random.Random) -> None:
    if pids:
        os.kill(chance.choice(pids), signal.SIGKILL)


def _kill_api_worker(stack: CommandCenter, chance: random.Random) -> None:
    _kill_one(children(stack.api.pid, "spawn_main"), chance)


def _kill_task_process(stack: CommandCenter, chance: random.Random) -> None:
    _kill_one(children(stack.worker.pid), chance)


def _kill_backend(stack: CommandCenter, chance: random.Random) -> None:
    with stack.connect() as connection:
        backends = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        pids = [int(str(pid)) for (pid,) in connection.execute(backends)]
    _kill_one(pids, chance)


def _restart_postgres(stack: CommandCenter, _: random.Random) -> None:
    stack.postgres.restart()


def _restart_redis(stack: CommandCenter, _: random.Random) -> None:
    stack.redis.restart()


DISTURBANCES = [
    Disturbance("an API worker is killed", _kill_api_worker, kills_api_worker=True),
    Disturbance("a process of the Celery worker is killed", _kill_task_process, kills_task_process=True),
    Disturbance("a PostgreSQL backend is killed", _kill_backend, forgets=True),
    Disturbance("Redis is restarted", _restart_redis),
    Disturbance("PostgreSQL is restarted", _restart_postgres),
]
