"""What is called the likely cause, rule by rule, on small made-up trails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from reqtrail.cli.causes import Cause, Limits, find_causes
from reqtrail.cli.time_spent import time_spent
from reqtrail.cli.timeline import Event, Kind, StatementTotal, Timeline, costliest_first

START = datetime(2026, 11, 24, 3, 0, 0, 0, timezone.utc)


def span(kind: Kind, start_ms: float, took_ms: float, name: str = "it", **details: Any) -> Event:
    start = START + timedelta(milliseconds=start_ms)
    failed = bool(details.pop("failed", False))
    running = bool(details.pop("running", False))
    end = start + timedelta(milliseconds=took_ms)
    return Event(kind, name, "test", start, end, failed=failed, running=running, details=details)


def due(at_ms: float, task: Event) -> Event:
    return replace(task, due=START + timedelta(milliseconds=at_ms))


def row(start_ms: float, took_ms: float, **counters: float) -> Event:
    known = {"transactions": 1, "statements": 1, "errors": 0, "total_time": 0.0, "max_time": 0.0}
    return replace(span("database", start_ms, took_ms), details={**known, **counters})


def error(at_ms: float, name: str, **details: Any) -> Event:
    at = START + timedelta(milliseconds=at_ms)
    return Event("error", name, "test", at, failed=True, details=details)


def causes(*events: Event, statements: tuple[StatementTotal, ...] = (), limits: Limits | None = None) -> list[Cause]:
    return find_causes(Timeline.of(events), statements, limits or Limits())


def request(took_ms: float, status: int = 200, **details: Any) -> Event:
    return span(
        "request", 0, took_ms, f"GET /x {status}", status_code=status, endpoint="/x", failed=status >= 500, **details
    )


def test_a_quick_request_has_no_cause() -> None:
    assert causes(request(20), row(1, 5, total_time=4, max_time=2, statements=3)) == []


def test_a_failure_in_the_api_names_the_innermost_frame_of_the_application() -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "/app/shop/api.py", line 7, in order\n    pay()\n'
        '  File "/app/shop/pay.py", line 40, in pay\n    client.post()\n'
        '  File "/venv/lib/python3.11/site-packages/httpx/_client.py", line 1, in post\n    raise ConnectError\n'
    )
    told = error(19, "ConnectError: refused", logger="reqtrail.error", origin="api", endpoint="/x", exception=traceback)
    [cause] = causes(request(20, 500), told)
    assert cause.title == "Failed in the API at /x: ConnectError: refused"
    assert cause.evidence == "GET /x 500; at /app/shop/pay.py:40 in pay"


def test_a_failure_in_a_task_names_the_task() -> None:
    task = span("task", 30, 10, "send FAILURE", task="send", state="FAILURE", failed=True)
    cause = causes(request(20, 202), task)[0]
    assert cause.title.startswith("Failed in the task send")


def test_a_failure_goes_before_what_was_slow() -> None:
    found = causes(request(900, 500), error(5, "deadlock detected", sqlstate="40P01"))
    assert [cause.kind for cause in found] == ["failed", "slow"]
    assert found[0].title == "Failed in the database: deadlock detected (40P01)"
    assert "take locks in one order" in found[0].advice


def test_an_error_that_the_application_handled_is_no_failure() -> None:
    [cause] = causes(request(20, 409), error(5, "duplicate key", sqlstate="23505"))[:1]
    assert cause.kind == "handled_error"


def test_an_error_that_was_handled_before_another_one_is_not_why_it_failed() -> None:
    handled = error(5, "duplicate key value", sqlstate="23505")
    told = {"logger": "reqtrail.error", "endpoint": "/x", "error_type": "KeyError", "error_message": "'price'"}
    found = causes(request(20, 500), handled, error(19, "KeyError: 'price'", **told))
    assert [cause.kind for cause in found] == ["failed", "handled_error"]
    assert found[0].title == "Failed in the API at /x: KeyError: 'price'"
    traceback = "UniqueViolation: duplicate key value\n\nThe above exception was the direct cause of ..."
    found = causes(request(20, 500), handled, error(19, "OrderError", exception=traceback, **told))
    assert [cause.title for cause in found] == ["Failed in the database: duplicate key value (23505)"]


def test_waiting_in_the_queue_is_the_gap_before_the_task() -> None:
    cause = causes(request(20), span("task", 3020, 30, task="send", state="SUCCESS"))[0]
    assert (cause.kind, cause.title) == ("queue", "Waited 3.00 s in the queue before send was started")


def test_waiting_in_the_queue_is_known_from_an_exemplar_too() -> None:
    series = {"__name__": "celery_task_queue_wait_seconds_bucket", "task": "send", "le": "5.0"}
    exemplar = Event("exemplar", "wait", "test", START, details={"series": series, "value": 2.5})
    [cause] = causes(request(20), exemplar)
    assert cause.title == "Waited 2.50 s in the queue before send was started"


def test_waiting_for_a_connection_goes_before_being_slow() -> None:
    series = {"__name__": "reqtrail_db_pool_wait_seconds_bucket", "pool": "shop", "le": "5.0"}
    exemplar = Event("exemplar", "wait", "test", START, details={"series": series, "value": 2.5})
    [cause] = causes(request(2600), exemplar)
    assert cause.title == "Waited 2.50 s for a connection of the pool shop"


def retried(start_ms: float, took_ms: float) -> Event:
    error = {"error_type": "Busy", "error_message": "later"}
    return span("task", start_ms, took_ms, task="send", task_id="a", state="RETRY", **error)


def again(start_ms: float) -> Event:
    """The next run of `retried`."""
    return span("task", start_ms, 10, task="send", task_id="a", state="SUCCESS")


def another(start_ms: float, took_ms: float) -> Event:
    """A run of another task."""
    return span("task", start_ms, took_ms, task="bill", task_id="b", state="SUCCESS")


def test_a_retry_is_no_wait_in_the_queue() -> None:
    cause = causes(request(20), retried(30, 10), again(5040))[0]
    assert (cause.kind, cause.title) == ("retry", "Waited 5.00 s for the retry of send")
    assert cause.evidence == "Busy: later"


def test_a_task_that_was_scheduled_for_later_waited_in_the_queue_for_the_rest_alone() -> None:
    task = due(5020, span("task", 8020, 30, task="send", state="SUCCESS"))
    found = causes(request(20), task)
    assert [(cause.kind, cause.title) for cause in found] == [
        ("queue", "Waited 3.00 s in the queue before send was started"),
        ("scheduled", "send was scheduled for later: 5.00 s until it was due"),
    ]
    assert found[0].evidence == "between the time for which the task was scheduled and its start"
    assert found[1].evidence == "it was due at 2026-11-24 03:00:05 UTC"
    timeline = Timeline.of([request(20), task])
    assert [(gap.reason, gap.duration_ms) for gap in timeline.gaps()] == [
        ("send was scheduled for later", 5000),
        ("in the queue: send was not started yet", 3000),
    ]
    assert time_spent(timeline).parts == [("application", 50.0), ("queue", 3000.0), ("scheduled", 5000.0)]


def test_a_task_that_was_started_when_it_was_due_did_not_wait_in_the_queue() -> None:
    [cause] = causes(request(20), due(5020, span("task", 5020.5, 30, task="send", state="SUCCESS")))
    assert cause.kind == "scheduled"
    [cause] = causes(request(20), due(5040, span("task", 5020, 30, task="send", state="SUCCESS")))  # by another clock
    assert cause.title == "send was scheduled for later: 5.00 s until it was due"


def test_a_task_that_was_due_before_the_request_ended_waited_in_the_queue_since_then() -> None:
    [cause] = causes(request(20), due(10, span("task", 3020, 30, task="send", state="SUCCESS")))
    assert (cause.kind, cause.title) == ("queue", "Waited 3.00 s in the queue before send was started")


def test_a_retry_that_was_late_waited_in_the_queue_after_its_delay() -> None:
    found = causes(request(20), retried(30, 10), due(1040, again(5040)))
    assert [(cause.kind, cause.title) for cause in found] == [
        ("queue", "Waited 4.00 s in the queue before send was started"),
        ("retry", "Waited 1.00 s for the retry of send"),
    ]


def test_a_task_that_was_in_the_queue_while_another_one_waited_for_its_retry_is_no_retry() -> None:
    found = causes(request(20), retried(30, 10), another(5040, 10), due(9040, again(9040)))
    assert [(cause.kind, cause.title) for cause in found] == [
        ("queue", "Waited 5.00 s in the queue before bill was started"),
        ("retry", "Waited 3.99 s for the retry of send"),
    ]


def test_a_task_that_was_scheduled_while_another_one_waited_for_its_retry_is_no_retry() -> None:
    [cause] = causes(request(20), retried(30, 10), due(5040, another(5040, 10)))
    assert (cause.kind, cause.title) == ("scheduled", "bill was scheduled for later: 5.00 s until it was due")


def test_a_retry_is_one_after_another_task_that_ended_later_than_its_first_run() -> None:
    [cause] = causes(request(20), retried(30, 10), another(25, 1015), due(5040, again(5040)))[:1]
    assert (cause.kind, cause.title) == ("retry", "Waited 4.00 s for the retry of send")
    assert cause.evidence == "Busy: later"


def test_a_statement_that_is_repeated_is_an_n_plus_one() -> None:
    statements = (
        StatementTotal(1, 20, 4.0, 0.4, 20, "SELECT * FROM commits WHERE repository_id = $1"),
        StatementTotal(2, 1, 1.0, 1.0, 20, "SELECT * FROM repositories"),
    )
    [cause] = causes(request(60), row(1, 50, total_time=5, max_time=1, statements=21), statements=statements)
    assert cause.title == "N+1: one statement ran 20 times"
    assert "SELECT * FROM commits" in cause.evidence
    assert causes(request(60), statements=statements, limits=Limits(repeated_calls=21)) == []


def test_a_statement_that_two_databases_of_one_server_tell_of_is_one() -> None:
    known, other = StatementTotal(1, 20, 4.0, 0.4, 20, "SELECT 1"), StatementTotal(2, 1, 9.0, 9.0, 1, None)
    nameless = replace(known, text=None)
    assert costliest_first([nameless, known, other]) == [other, known]
    assert costliest_first([known, nameless, other]) == [other, known]


def test_many_statements_are_an_n_plus_one_where_single_ones_are_not_known() -> None:
    [cause] = causes(request(60), row(1, 50, total_time=5, max_time=1, statements=21))
    assert cause.title == "N+1, it seems: 21 statements in 1 transaction"


def test_one_slow_statement_goes_before_a_cheap_n_plus_one() -> None:
    statements = (
        StatementTotal(1, 12, 2.0, 0.4, 12, "SELECT cheap"),
        StatementTotal(2, 1, 4000.0, 4000.0, 1, "SELECT dear"),
    )
    found = causes(request(4100), row(1, 4050, total_time=4002, max_time=4000, statements=13), statements=statements)
    assert [cause.kind for cause in found] == ["slow", "n_plus_one"]
    assert found[0].title == "The request GET /x 200 was slow in one statement: 4.00 s of 4.10 s"
    assert found[0].evidence == "SELECT dear"


def slow_title(counters: Mapping[str, float]) -> str:
    return causes(request(1000), row(1, 990, **counters), limits=Limits(repeated_calls=1000))[0].title


def test_slow_says_where() -> None:
    assert "slow in the database" in slow_title({"total_time": 700, "max_time": 100, "statements": 9})
    assert "slow planning" in slow_title({"total_time": 100, "max_time": 100, "plan_time": 600})
    assert "slow committing" in slow_title({"total_time": 100, "max_time": 100, "commit_time": 600})
    assert "with its transaction open and idle" in slow_title({"total_time": 10, "idle_in_transaction_time": 900})
    assert "slow outside of the database" in slow_title({"total_time": 10, "max_time": 10})


def test_a_client_that_went_away_and_one_that_was_wrong() -> None:
    assert causes(request(20, 499))[0].title == "The client went away before the answer"
    assert causes(request(20, 404))[0].title == "The request was refused with 404"


def test_what_still_runs_is_said() -> None:
    [cause] = causes(span("database", 0, 90, "active in shop (pid 7): SELECT 1", running=True))
    assert (cause.kind, cause.title) == ("running", "Still running: its transaction is open since 90.0 ms")


def test_time_spent_adds_up() -> None:
    task = span("task", 150, 50, task="send", state="SUCCESS")
    spent = time_spent(Timeline.of([request(100), task, row(1, 190, total_time=30, plan_time=5, commit_time=1)]))
    assert (spent.total_ms, spent.running_ms, spent.database_ms, spent.queue_ms) == (200, 150, 36, 50)
    assert spent.application_ms == 114


def test_what_two_sources_tell_is_in_the_timeline_once() -> None:
    of_view = error(5, "division by zero", pid=7, sqlstate="22012")
    of_log = error(5.4, "division by zero", pid=7, statement="SELECT 1/0")
    of_other = error(5.4, "division by zero", pid=8)
    kept, other = Timeline.of([of_view, of_log, of_other]).events
    assert kept.details == {"pid": 7, "sqlstate": "22012", "statement": "SELECT 1/0"}
    assert other.details == {"pid": 8}
