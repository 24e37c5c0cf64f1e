"""`make soak`: the example application under load, while its processes are killed and its servers restarted.

usage: python -m tests.soak MINUTES [SEED]
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import redis

from devstack.commandcenter import API_WORKERS, TASK_WORKERS, CommandCenter
from devstack.postgres_tree import REPOSITORY
from tests.soak import invariants
from tests.soak.disturbances import DISTURBANCES, Disturbance, children
from tests.soak.load import LIST, SYNC_ONE, Load
from tests.waiting import wait_for

DIRECTORY = REPOSITORY / "build" / "soak"
_CALM_SECONDS = 4
_RECOVERY_SECONDS = 90


class Soak:
    """One run."""

    def __init__(self, stack: CommandCenter, load: Load, chance: random.Random) -> None:
        self._stack = stack
        self._load = load
        self._chance = chance
        self._disturbed = invariants.Disturbed()
        self._memory = invariants.Memory()
        self.happened: Counter[str] = Counter()

    def round(self) -> list[str]:
        """Let each disturbance happen once, in some order, and check after each. Returns what does not hold."""
        for disturbance in self._chance.sample(DISTURBANCES, len(DISTURBANCES)):
            time.sleep(_CALM_SECONDS)
            found = self._disturb(disturbance) or self.check()
            if found:
                return [f"after {disturbance.name}: {what}" for what in found]
        return []

    def check(self) -> list[str]:
        """What does not hold."""
        stack, disturbed, ledger = self._stack, self._disturbed, self._load.ledger
        self._load.pause()
        self._await_tasks()
        lasting = [stack.api.pid, stack.worker.pid, *children(stack.api.pid, "spawn_main")]
        with httpx.Client(base_url=stack.url, timeout=30) as api:
            found = [
                *invariants.answers_are_as_ever(ledger, disturbed),
                *invariants.counters_equal_what_clients_saw(api, ledger, disturbed),
                *invariants.task_counters_equal_the_log(api, stack, disturbed),
                *invariants.transactions_are_kept(stack, ledger, disturbed),
                *invariants.instruments_are_well(api, stack),
                *self._memory.grew(lasting),
            ]
        self._load.go_on()
        return found

    def _disturb(self, disturbance: Disturbance) -> list[str]:
        """Let it happen, and wait until all works again. Returns what does not."""
        self.happened[disturbance.name] += 1
        begin = time.monotonic()
        disturbance.happen(self._stack, self._chance)
        try:
            wait_for(self._works, _RECOVERY_SECONDS)
        except TimeoutError:
            return [f"requests or tasks still fail after {_RECOVERY_SECONDS} s"]
        end = time.monotonic()
        self._disturbed.windows.append((begin, end))
        self._disturbed.api_workers_killed += disturbance.kills_api_worker
        self._disturbed.task_processes_killed += disturbance.kills_task_process
        if disturbance.forgets:
            self._disturbed.remembers_since = end
        return []

    def _works(self) -> bool:
        """Whether the API answers every time, and a task is run to its end.

        A Celery worker may end by itself when its broker goes away while it has tasks (kombu fails to put them back):
        it is started again, as an init system would do.
        """
        if not self._stack.worker.running():
            self._disturbed.task_processes_killed += TASK_WORKERS
            self._stack.start_worker()
        return all(self._load.probe(LIST) for _ in range(2 * API_WORKERS)) and self._a_task_runs()

    def _a_task_runs(self) -> bool:
        request_id = self._load.probe(SYNC_ONE)
        with suppress(TimeoutError):
            wait_for(lambda: f'"request_id":"{request_id}"' in self._stack.log("worker").read_text(), 10)
            return request_id is not None
        return False

    def _await_tasks(self) -> None:
        """Wait until nothing is in the queue any more, nor under way."""
        with redis.Redis(port=self._stack.redis.port) as broker:
            wait_for(lambda: not broker.exists("celery", "unacked"), _RECOVERY_SECONDS)
        log = self._stack.log("worker")
        sizes = [-1]

        def quiet() -> bool:
            sizes.append(log.stat().st_size)
            time.sleep(0.5)
            return sizes[-1] == sizes[-2]

        wait_for(quiet, _RECOVERY_SECONDS)


def run(minutes: float, seed: int, directory: Path = DIRECTORY, say: Callable[[str], None] = print) -> int:
    """Soak for about `minutes`, at least one round. Returns 0 if everything held, else 1."""
    say(f"soak: {minutes:g} minutes, seed {seed}; logs in {directory}")
    deadline = time.monotonic() + minutes * 60
    with CommandCenter(directory) as stack, Load(stack.url, seed) as load:
        soak = Soak(stack, load, random.Random(seed))
        time.sleep(_CALM_SECONDS)
        found = soak.check()
        while not found:
            found = soak.round()
            if time.monotonic() > deadline:
                break
        statuses = Counter(answer.status for answer in load.ledger.answers)
        broken = load.ledger.broken.total()
    answers = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    happened = ", ".join(f"{number} x {what}" for what, number in soak.happened.items())
    say(f"soak: {answers}; {broken} broke off. {happened}")
    for what in found[:20]:
        say(f"soak: DOES NOT HOLD: {what}")
    if found:
        return 1
    say("soak: everything held")
    shutil.rmtree(directory)
    return 0


def main(arguments: list[str]) -> int:
    """Run with the given arguments. Returns the exit status; 2 for wrong ones."""
    try:
        minutes, seed = float(arguments[0]), int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 1_000_000
    except (IndexError, ValueError):
        print(__doc__, file=sys.stderr)
        return 2
    return run(minutes, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
