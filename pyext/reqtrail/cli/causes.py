"""The likely cause: rules over what is known of a request, each of which names one kind of trouble."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reqtrail.cli.time_spent import database_rows, number, time_spent
from reqtrail.cli.timeline import Event, Gap, StatementTotal, Timeline
from reqtrail.cli.wording import counted, duration_text, shortened

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python", "<frozen")
_HALF = 0.5
_TOLD_LETTERS = 60
"""Of the database's message, by which it is found again in a traceback; the views cut it."""
_ROUND_TRIP_MS = 1.0
"""What a call costs beside its execution: driver, ORM, network. Only compares N+1 with other causes."""
_SQLSTATE_ADVICE = {
    "40P01": "Two transactions wanted the same rows in another order: take locks in one order everywhere, and retry.",
    "40001": "Another transaction changed what this one read: retry the whole transaction.",
    "55P03": "Another transaction held the lock for longer than lock_timeout: see who, and keep that one short.",
    "57014": "It was cancelled, by statement_timeout or by a person: see what it waited for, or why it is slow.",
    "53300": "The server is out of connections: look at the pools of all services, or put PgBouncer before it.",
    "25P03": "The transaction was left idle too long: do not wait for anything else inside a transaction.",
}


@dataclass(frozen=True)
class Limits:
    """From where on something is worth telling."""

    slow_ms: float = 200.0
    """A request, a task or a wait that takes as long is slow."""
    repeated_calls: int = 10
    """A statement that a request runs as often is an N+1."""


@dataclass(frozen=True)
class Cause:
    """One thing that went wrong, or took the time."""

    kind: str
    """"failed", "lock", "queue", "pool", "retry", "n_plus_one", "slow", "scheduled", "running", "handled_error",
    "client_error"."""
    title: str
    evidence: str
    advice: str
    rank: int
    """The lower, the likelier; among equals the one with more `weight_ms` goes first."""
    weight_ms: float


@dataclass(frozen=True)
class _Known:
    timeline: Timeline
    statements: Sequence[StatementTotal]
    limits: Limits


_RANK_FAILED, _RANK_SLOW, _RANK_MINOR = 0, 1, 2


def find_causes(timeline: Timeline, statements: Sequence[StatementTotal], limits: Limits) -> list[Cause]:
    """What explains the request, the likeliest first; empty where nothing stands out."""
    known = _Known(timeline, statements, limits)
    found = [cause for rule in _RULES for cause in rule(known)]
    return sorted(found, key=lambda cause: (cause.rank, -cause.weight_ms))


def _failed(known: _Known) -> Iterator[Cause]:
    ends = [event for event in known.timeline.of_kind("request", "task") if event.failed]
    errors = known.timeline.of_kind("error")
    told = [event for event in errors if event.details.get("logger") == "reqtrail.error"]
    in_database = [event for event in errors if _is_of_database(event)]
    spans = known.timeline.of_kind("request", "task")
    if not (ends or told or (in_database and not spans)):
        if in_database:
            yield _handled(in_database[0])
        return
    of_failure = [event for event in in_database if _may_have_ended(event, (*told, *ends))]
    if in_database and not of_failure:
        yield _handled(in_database[0])
    worst = (of_failure or told or ends or errors)[0]
    if of_failure:
        place = "in the database"
    elif worst.kind == "task" or worst.details.get("origin") == "worker":
        place = f"in the task {worst.details.get('task', '')}".rstrip()
    else:
        place = f"in the API at {worst.details.get('endpoint', 'an unknown endpoint')}"
    with_traceback = next((event for event in (*told, *ends, *errors) if event.details.get("exception")), worst)
    outcome = ", ".join(_outcome(event) for event in ends)
    evidence = [outcome, _frame(str(with_traceback.details.get("exception", ""))), _statement_of(worst)]
    code = _sqlstate(worst)
    yield Cause(
        "failed",
        f"Failed {place}: {_error_text(worst)}",
        "; ".join(part for part in evidence if part),
        _SQLSTATE_ADVICE.get(code, "The traceback is in the log line of the error; this is where to begin."),
        _RANK_FAILED,
        0.0,
    )


def _may_have_ended(error: Event, failures: Sequence[Event]) -> bool:
    """Whether an error of the database can be why the request failed: the application may have gone on after it."""
    told = [
        f"{failure.details.get('error_message', '')}\n{failure.details.get('exception', '')}" for failure in failures
    ]
    told = [text for text in told if text.strip()]
    words = error.name.strip().partition("\n")[0][:_TOLD_LETTERS]
    return not told or any(words in text for text in told)


def _handled(error: Event) -> Cause:
    return Cause(
        "handled_error",
        f"The database refused a statement: {_error_text(error)}",
        f"the request did not fail by it; {_statement_of(error)}".rstrip("; "),
        _SQLSTATE_ADVICE.get(_sqlstate(error), "The application handled it: see whether it was expected."),
        _RANK_MINOR,
        0.0,
    )


def _waited_for_lock(known: _Known) -> Iterator[Cause]:
    for event in known.timeline.of_kind("lock"):
        waited = event.duration_ms or 0.0
        requests = [str(request) for request in event.details.get("held_by", ())]
        pids = [str(pid) for pid in event.details.get("holder_pids", ())]
        if requests:
            holder = f"request {', '.join(requests)}"
            advice = f"See what held it: reqtrail trace {requests[0]}"
        elif pids:
            holder = f"backend {', '.join(pids)}, whose request is not known"
            advice = "Give the log of the server (--logs) with the lines of that backend, to learn for whom it worked."
        else:
            holder = "another transaction"
            advice = "Set log_lock_waits = on, to learn who holds a lock."
        verb = "Waits for a lock" if event.running else "Waited for a lock"
        title = f"{verb} held by {holder}, {duration_text(waited)}"
        what = event.details.get("lock") or event.details.get("query") or event.name
        yield Cause("lock", title, shortened(str(what)), advice, _RANK_SLOW, waited)


def _waited_in_queue(known: _Known) -> Iterator[Cause]:
    told = False
    for gap in known.timeline.gaps():
        if gap.after.kind != "task" or gap.duration_ms < known.limits.slow_ms:
            continue
        task = gap.after.details.get("task", "the task")
        if gap.retried is not None and gap.is_of_retry:
            error = gap.retried.details
            why = f"{error.get('error_type', '')}: {error.get('error_message', '')}".strip(": ")
            title = f"Waited {duration_text(gap.duration_ms)} for the retry of {task}"
            yield Cause(
                "retry", title, why, "What made it fail the first time is the cause.", _RANK_SLOW, gap.duration_ms
            )
        elif gap.scheduled:
            title = f"{task} was scheduled for later: {duration_text(gap.duration_ms)} until it was due"
            advice = "The code that published it asked for it, with a countdown or an ETA."
            yield Cause("scheduled", title, _due_text(gap.after), advice, _RANK_MINOR, gap.duration_ms)
        else:
            told = True
            yield _queue_cause(task, gap.duration_ms, _after(gap))
    for labels, waited in _measured(known, "celery_task_queue_wait_seconds"):
        if not told:
            told = True
            yield _queue_cause(labels.get("task", "the task"), waited, "as the worker measured it")


def _due_text(task: Event) -> str:
    return f"it was due at {task.due:%Y-%m-%d %H:%M:%S} UTC" if task.due else ""


def _after(gap: Gap) -> str:
    if gap.after.due == gap.start:
        return "between the time for which the task was scheduled and its start"
    return "between the end of what ran before and the start of the task"


def _waited_for_connection(known: _Known) -> Iterator[Cause]:
    for labels, waited in _measured(known, "reqtrail_db_pool_wait_seconds"):
        title = f"Waited {duration_text(waited)} for a connection of the pool {labels.get('pool', '')}".rstrip()
        advice = (
            "All were in use: look for transactions that stay open, at reqtrail_db_pool_*, then at the pool's size."
        )
        yield Cause("pool", title, "as the pool measured it", advice, _RANK_SLOW, waited)


def _measured(known: _Known, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """The labels and the milliseconds of the request's exemplars in a histogram, where they are slow."""
    for event in known.timeline.of_kind("exemplar"):
        labels = event.details.get("series", {})
        waited = number(event.details, "value") * 1000
        if str(labels.get("__name__", "")).startswith(f"{name}_") and waited >= known.limits.slow_ms:
            yield labels, waited


def _queue_cause(task: str, waited: float, evidence: str) -> Cause:
    return Cause(
        "queue",
        f"Waited {duration_text(waited)} in the queue before {task} was started",
        evidence,
        "All workers were busy, or none was up: look at celery_queue_depth and celery_worker_tasks_active.",
        _RANK_SLOW,
        waited,
    )


def _repeated(known: _Known) -> Iterator[Cause]:
    often = [statement for statement in known.statements if statement.calls >= known.limits.repeated_calls]
    for statement in often:
        unknown = f"queryid {statement.queryid} (its text is not known: pg_stat_statements would know it)"
        what = unknown if statement.text is None else shortened(statement.text)
        yield _n_plus_one(
            f"N+1: one statement ran {statement.calls} times",
            f"{what}; {duration_text(statement.total_ms)} in the database, and {statement.calls} round trips",
            statement.total_ms + statement.calls * _ROUND_TRIP_MS,
        )
    if known.statements:
        return
    for row in database_rows(known.timeline):
        statements, transactions = number(row, "statements"), max(1.0, number(row, "transactions"))
        if statements / transactions >= known.limits.repeated_calls:
            yield _n_plus_one(
                f"N+1, it seems: {counted(statements, 'statement')} in {counted(transactions, 'transaction')}",
                f"on average {duration_text(number(row, 'total_time') / statements)} each",
                number(row, "total_time") + statements * _ROUND_TRIP_MS,
            )


def _n_plus_one(title: str, evidence: str, weight_ms: float) -> Cause:
    advice = "Load them with one query: a join, `= ANY(...)`, or selectinload() in SQLAlchemy."
    return Cause("n_plus_one", title, evidence, advice, _RANK_SLOW, weight_ms)


def _slow(known: _Known) -> Iterator[Cause]:
    limit = known.limits.slow_ms
    spans = [event for event in known.timeline.of_kind("request", "task") if (event.duration_ms or 0.0) >= limit]
    rows = list(database_rows(known.timeline))
    database = time_spent(known.timeline).database_ms
    if not spans and database < limit:
        return
    longest = max(spans, key=lambda event: event.duration_ms or 0.0, default=None)
    took = database if longest is None else longest.duration_ms or 0.0
    waits = sum(event.duration_ms or 0.0 for event in known.timeline.of_kind("lock"))
    waits += sum(waited for _, waited in _measured(known, "reqtrail_db_pool_wait_seconds"))
    if waits >= _HALF * took:
        return  # what it waited for is the cause, and is told
    what = "The request" if longest is None else f"The {longest.kind} {longest.name}"
    of = f"of {duration_text(took)}"
    largest = _largest_part(known, rows, took)
    if largest is None:
        title = f"{what} was slow outside of the database: {duration_text(took)}"
        known_time = f"the database had {duration_text(database)} of it" if rows else "nothing is known of the database"
        yield Cause("slow", title, known_time, "Look at the gaps between its log lines, below.", _RANK_SLOW, took)
        return
    name, ms, evidence, advice = largest
    yield Cause("slow", f"{what} was slow {name}: {duration_text(ms)} {of}", evidence, advice, _RANK_SLOW, ms)


def _largest_part(known: _Known, rows: Sequence[Any], took: float) -> tuple[str, float, str, str] | None:
    """The part of the database's work that has at least half of the time: in words, its time, evidence, advice."""
    total = sum(number(row, "total_time") for row in rows)
    parts = [
        (
            "in one statement",
            max((number(row, "max_time") for row in rows), default=0.0),
            _slowest_text(known),
            "EXPLAIN (ANALYZE, BUFFERS) it; auto_explain logs the plan of the next one.",
        ),
        (
            "in the database",
            total,
            counted(sum(number(row, "statements") for row in rows), "statement"),
            "See pg_stat_requests_statements for the costliest of them.",
        ),
        (
            "planning",
            sum(number(row, "plan_time") for row in rows),
            "",
            "Prepare the statement, or look at its number of partitions and joins.",
        ),
        (
            "committing",
            sum(number(row, "commit_time") for row in rows),
            "",
            "Look at the disk of the WAL and at synchronous standbys.",
        ),
        (
            "with its transaction open and idle",
            sum(number(row, "idle_in_transaction_time") for row in rows),
            "the database waited for the application, which held its locks meanwhile",
            "Do other work, above all calls to other services, outside of the transaction.",
        ),
    ]
    return next((part for part in parts if part[1] >= _HALF * took), None)


def _running(known: _Known) -> Iterator[Cause]:
    running = [event for event in known.timeline.of_kind("database") if event.running]
    if running and not any(event.running for event in known.timeline.of_kind("lock")):
        longest = max(running, key=lambda event: event.duration_ms or 0.0)
        took = longest.duration_ms or 0.0
        title = f"Still running: its transaction is open since {duration_text(took)}"
        yield Cause("running", title, shortened(longest.name), "Ask again when it has ended.", _RANK_MINOR, took)


def _refused(known: _Known) -> Iterator[Cause]:
    for event in known.timeline.of_kind("request"):
        status = event.details.get("status_code")
        if status == 499:
            advice = "A proxy's or client's timeout is shorter than the request took."
            yield Cause("client_error", "The client went away before the answer", event.name, advice, _RANK_MINOR, 0.0)
        elif isinstance(status, int) and 400 <= status < 500:
            advice = "It is the caller's to change: the answer's body says what."
            yield Cause("client_error", f"The request was refused with {status}", event.name, advice, _RANK_MINOR, 0.0)


_RULES: tuple[Callable[[_Known], Iterator[Cause]], ...] = (
    _failed,
    _waited_for_lock,
    _waited_in_queue,
    _waited_for_connection,
    _repeated,
    _slow,
    _running,
    _refused,
)


def _is_of_database(event: Event) -> bool:
    return bool(event.details.get("sqlstate")) or event.details.get("severity") in ("ERROR", "FATAL", "PANIC")


def _sqlstate(event: Event) -> str:
    return str(event.details.get("sqlstate", ""))


def _error_text(event: Event) -> str:
    if event.kind == "error":
        code = _sqlstate(event)
        return shortened(event.name) + (f" ({code})" if code else "")
    kind, message = event.details.get("error_type", ""), event.details.get("error_message", "")
    lines = str(message).splitlines()
    return shortened(f"{kind}: {lines[0]}" if kind and lines else str(kind) or event.name)


def _outcome(event: Event) -> str:
    if event.kind == "task":
        return f"task {event.name}"
    return event.name


def _statement_of(event: Event) -> str:
    statement = event.details.get("statement")
    return f"in {shortened(str(statement))}" if statement else ""


def _frame(traceback: str) -> str:
    """The innermost place in the application's own code."""
    frames = _FRAME.findall(traceback)
    own = [frame for frame in frames if not any(part in frame[0] for part in _LIBRARIES)]
    if not frames:
        return ""
    path, line, function = (own or frames)[-1]
    return f"at {path}:{line} in {function}"


def _slowest_text(known: _Known) -> str:
    told = [(event.duration_ms or 0.0, event.name) for event in known.timeline.of_kind("statement")]
    told += [(statement.max_ms, statement.text) for statement in known.statements if statement.text]
    return shortened(max(told)[1]) if told else ""
