"""What must hold whatever goes wrong. Each check returns what does not hold, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from devstack.commandcenter import CommandCenter
from examples.commandcenter.trail import json_lines
from tests.integration.metric_samples import samples
from tests.soak.load import CLIENTS, Answer, Ledger

_TASK_SECONDS = 5  # within which a task is done if nothing goes wrong
_MEMORY_SLACK_KB = 16 * 1024
_MEMORY_FACTOR = 1.25


@dataclass
class Disturbed:
    """When what was disturbed, by the clock of `time.monotonic()`."""

    windows: list[tuple[float, float]] = field(default_factory=list)
    """From the beginning of each disturbance until all worked again."""
    remembers_since: float = 0
    """When PostgreSQL last began with empty statistics."""
    api_workers_killed: int = 0
    task_processes_killed: int = 0

    def touches(self, answer: Answer, *, before: float = 0) -> bool:
        """Whether anything was wrong while the request was under way, or up to `before` seconds after it."""
        return any(answer.started <= end and answer.ended >= begin - before for begin, end in self.windows)


def answers_are_as_ever(ledger: Ledger, disturbed: Disturbed) -> list[str]:
    """Every answer has its id; and while nothing is disturbed, every request has the answer that it has without us."""
    wrong = [
        f"{answer.kind.method} {answer.kind.path} of {answer.request_id} was answered with {answer.status}"
        for answer in ledger.answers
        if answer.status != answer.kind.status and not disturbed.touches(answer)
    ]
    return ledger.wrong_ids + wrong


def counters_equal_what_clients_saw(api: httpx.Client, ledger: Ledger, disturbed: Disturbed) -> list[str]:
    """`http_requests_total`: what was answered, and of what was not, what was still counted before the kill."""
    counted: Counter[str] = Counter()
    for sample in samples(api, "http_requests_total"):
        counted[sample.labels["handler"]] += int(sample.value)
    answered = Counter(answer.kind.handler for answer in ledger.answers)
    # A killed worker may have sent a last part of an answer that it could not count any more.
    uncounted = disturbed.api_workers_killed * CLIENTS
    return [
        f"{handler}: {counted[handler]} requests counted; {number} were answered, {ledger.broken[handler]} broke off"
        for handler, number in answered.items()
        if not number - uncounted <= counted[handler] <= number + ledger.broken[handler]
    ]


def task_counters_equal_the_log(api: httpx.Client, stack: CommandCenter, disturbed: Disturbed) -> list[str]:
    """`celery_tasks_total` by state: as many as there are lines about ended tasks."""
    counted: Counter[str] = Counter()
    for sample in samples(api, "celery_tasks_total"):
        counted[sample.labels["state"]] += int(sample.value)
    lines = json_lines(stack.log("worker"))
    told = Counter(str(line["state"]) for line in lines if line["logger"] == "reqtrail.task" and "state" in line)
    # The count comes before the line: who is killed in between has counted, and not told.
    return [
        f"{counted[state]} tasks are counted as {state}, {told[state]} lines tell of one"
        for state in counted | told
        if not 0 <= counted[state] - told[state] <= disturbed.task_processes_killed
    ]


def transactions_are_kept(stack: CommandCenter, ledger: Ledger, disturbed: Disturbed) -> list[str]:
    """Each committed transaction is in its request's row, or that row is one of those that are counted as overwritten.

    A request that was accepted has committed one transaction of the API's, and one of its task's unless that was lost.
    """
    committed = {
        answer.request_id: 1 if disturbed.touches(answer, before=_TASK_SECONDS) else 2
        for answer in ledger.answers
        if answer.status == 202 and answer.started > disturbed.remembers_since
    }
    query = """
        SELECT id, (SELECT coalesce(sum(transactions), 0) FROM pg_stat_requests(id)) FROM unnest(%s::text[]) id"""
    with stack.connect() as connection:
        recorded = connection.execute(query, [list(committed)]).fetchall()
        (overwritten,) = connection.execute("SELECT overwritten FROM pg_stat_requests_info").fetchone() or (0,)
    missing = [f"{name} has {number}" for name, number in recorded if int(str(number)) < committed[str(name)]]
    if len(missing) <= int(str(overwritten)):
        return []
    return [f"{len(missing)} of {len(committed)} requests lack transactions ({missing[0]}); overwritten: {overwritten}"]


def instruments_are_well(api: httpx.Client, stack: CommandCenter) -> list[str]:
    """No fault of ours, nothing dropped, and no crash but those that were made."""
    bad = ("reqtrail_faults_total", "reqtrail_log_lines_dropped_total", "reqtrail_series_dropped_total")
    troubles = [sample for name in bad for sample in samples(api, name) if sample.value]
    found = [f"{trouble.name}{trouble.labels} is {trouble.value:g}" for trouble in troubles]
    logs = [stack.log("api"), stack.log("worker")]
    found += [f"{log.name}: {line}" for log in logs for line in log.read_text().splitlines() if "Segmentation" in line]
    crashes = [line for line in stack.postgres.fatal_log_lines() if "signal 9" not in line]
    return found + [f"PostgreSQL: {line}" for line in crashes]


class Memory:
    """The memory of processes that live all along."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._settled: dict[int, int] = {}

    def grew(self, pids: Iterable[int]) -> list[str]:
        """Which of them take notably more than when they were looked at for the second time: at the first they may
        still be starting.
        """
        found = []
        for pid in pids:
            now = _resident_kb(pid)
            if now is None or pid not in self._seen:
                self._seen.add(pid)
                continue
            settled = self._settled.setdefault(pid, now)
            if now > settled * _MEMORY_FACTOR + _MEMORY_SLACK_KB:
                found.append(f"process {pid} takes {now} kB, and took {settled} kB")
        return found


def _resident_kb(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    # RssAnon: pages of shared memory and of files are counted by whoever touches them first.
    return int(status.partition("RssAnon:")[2].split()[0])
