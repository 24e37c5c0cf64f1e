import uuid
from collections.abc import Callable
from typing import Any

import pytest

import reqtrail
from reqtrail._task_hooks import _due
from reqtrail._task_log import log_ended
from reqtrail.cli.causes import Limits
from reqtrail.cli.sources.log_files import LogFilesSource
from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.trail import gather
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker

WAIT = 20


def published(request_id: str | None, publish: Any) -> Any:
    """What `publish()` returns, called while working for a request."""
    if request_id is None:
        return publish()
    token = reqtrail.set_request_id(request_id)
    try:
        return publish()
    finally:
        reqtrail.reset_request_id(token)


def test_the_task_runs_with_the_publishers_id(prefork: Worker) -> None:
    result = published("request-1", worker_app.look.delay)
    seen = result.get(timeout=WAIT)
    assert (seen["current"], seen["header"]) == ("request-1", "request-1")
    [line] = prefork.lines_of(result.id)
    assert {key: line[key] for key in ("level", "logger", "message", "origin", "request_id", "task", "state")} == {
        "level": "INFO",
        "logger": "reqtrail.task",
        "message": "task tests.worker_hooks.worker_app.look SUCCESS",
        "origin": "worker",
        "request_id": "request-1",
        "task": "tests.worker_hooks.worker_app.look",
        "state": "SUCCESS",
    }
    assert 0 < line["duration"] < WAIT
    own_lines = [found for found in prefork.lines() if found["message"] == "looking"]
    assert [found["request_id"] for found in own_lines].count("request-1") == 1


def test_a_task_that_was_to_start_later_says_so_in_its_line_and_in_its_trail(prefork: Worker) -> None:
    request_id = "request-later"
    first = published(request_id, worker_app.look.delay)
    first.get(timeout=WAIT)
    later = published(request_id, lambda: worker_app.look.apply_async(countdown=1))
    later.get(timeout=WAIT)
    [line] = prefork.lines_of(later.id)
    assert "eta" not in prefork.lines_of(first.id)[0]
    trail = gather(request_id, [LogFilesSource([str(prefork.log)])], Limits(slow_ms=0))
    [before, after] = trail.timeline.of_kind("task")
    [scheduled, *queued] = trail.timeline.gaps()
    assert (scheduled.reason, scheduled.start) == (f"{worker_app.look.name} was scheduled for later", before.end)
    assert scheduled.end == after.due == parse_moment(line["eta"])
    assert scheduled.end <= after.start
    assert [gap.reason.split(":")[0] for gap in queued] in ([], ["in the queue"])
    [cause] = [cause for cause in trail.causes if cause.kind == "scheduled"]
    assert cause.weight_ms == scheduled.duration_ms > 0


@pytest.mark.parametrize("eta", ["9999-12-31T23:59:59-12:00", "soon", "", 7, ["x"], "2026-01-01T00:00:00"])
def test_an_eta_from_the_broker_that_is_no_moment_is_not_in_the_line(eta: object) -> None:
    assert _due(eta) is None


def test_an_eta_that_means_never_is_in_the_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "reqtrail.task")
    log_ended(worker_app.look, "t", "REVOKED", None, None, _due("9999-12-31T23:59:59.999999+00:00"))
    assert [record.__dict__["eta"] for record in caplog.records] == ["9999-12-31T23:59:59.000000Z"]


def test_concurrent_tasks_keep_their_own_ids(prefork: Worker) -> None:
    results = {f"request-5-{n}": published(f"request-5-{n}", lambda: worker_app.look.delay(wait=0.3)) for n in range(4)}
    seen = {request_id: result.get(timeout=WAIT) for request_id, result in results.items()}
    assert {request_id: one["current"] for request_id, one in seen.items()} == {each: each for each in results}
    assert all(one["unchanged"] for one in seen.values())
    assert len({one["pid"] for one in seen.values()}) == 2


def test_outside_of_a_request_the_root_task_is_the_request(prefork: Worker) -> None:
    result = worker_app.look.delay()
    assert result.get(timeout=WAIT)["current"] == result.id
    chained = worker_app.two_in_a_chain().apply_async()
    assert chained.get(timeout=WAIT)["current"] == chained.parent.id


@pytest.mark.parametrize("bad", ["x'; DROP TABLE t", "a" * 129, "", "é", 7, None, ["a"]])
def test_a_bad_id_from_the_broker_is_replaced(prefork: Worker, bad: object) -> None:
    task_id = str(uuid.uuid4())
    with worker_app.app.connection_for_write() as connection:
        connection.default_channel.client.ping()
        connection.Producer().publish(
            [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
            serializer="json",
            routing_key="celery",
            headers={
                "lang": "py", "task": "tests.worker_hooks.worker_app.look", "id": task_id, "root_id": "root'; --",
                "request_id": bad,
            },
            correlation_id=task_id,
        )  # fmt: skip
    current = worker_app.app.AsyncResult(task_id).get(timeout=WAIT)["current"]
    assert str(uuid.UUID(current)) == current
    assert current != task_id
    [line] = prefork.lines_of(task_id)
    assert line["request_id"] == current


def test_a_failed_task_is_one_error_line_with_its_traceback(prefork: Worker) -> None:
    before = len(prefork.lines())
    result = published("request-6", worker_app.fail.delay)
    with pytest.raises(ValueError, match="no such repository"):
        result.get(timeout=WAIT)
    [line] = prefork.lines_of(result.id)
    assert (line["level"], line["state"], line["request_id"]) == ("ERROR", "FAILURE", "request-6")
    assert (line["error_type"], line["error_message"]) == ("ValueError", "no such repository")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError("no such repository")' in line["exception"]
    assert line["duration"] > 0
    assert prefork.errors_about("no such repository", after=before) == [line]


def test_a_failure_that_the_task_declares_is_no_error(prefork: Worker) -> None:
    result = published("request-7", worker_app.fail_as_expected.delay)
    with pytest.raises(KeyError):
        result.get(timeout=WAIT)
    [line] = prefork.lines_of(result.id)
    assert (line["level"], line["state"], line["error_type"]) == ("INFO", "FAILURE", "KeyError")
    assert "exception" not in line


@pytest.mark.parametrize(
    ("task", "error_type"), [(worker_app.sleep_too_long, "TimeLimitExceeded"), (worker_app.die, "WorkerLostError")]
)
def test_a_task_whose_process_is_killed_is_one_error_line(prefork: Worker, task: Any, error_type: str) -> None:
    before = len(prefork.lines())
    result = published(f"request-{error_type}", task.delay)
    with pytest.raises(Exception, match=r"."):
        result.get(timeout=WAIT)
    published(None, worker_app.look.delay).get(timeout=WAIT)  # by then all of it has been told
    [line] = prefork.lines_of(result.id)
    assert (line["level"], line["state"], line["error_type"]) == ("ERROR", "FAILURE", error_type)
    assert line["request_id"] == f"request-{error_type}"
    assert [found for found in prefork.errors_about(error_type, after=before) if "exception" in found] == [line]


def test_a_task_run_in_place_works_for_its_callers_request(prefork: Worker) -> None:
    assert published("request-8", worker_app.eager_inside.delay).get(timeout=WAIT) == ["request-8"] * 3


def test_celerys_own_lines_about_the_end_are_gone(prefork: Worker) -> None:
    published("request-9", worker_app.look.delay).get(timeout=WAIT)
    assert not [line for line in prefork.lines() if line["logger"] == "celery.app.trace"]


def test_at_debug_each_step_of_a_task_is_a_line(start_worker: Callable[..., Worker]) -> None:
    worker = start_worker("--pool=solo", "--loglevel=DEBUG", "--hostname=told@here", queue="told")
    result = published("request-10", lambda: worker_app.look.apply_async(queue="told"))
    lines = worker.lines_of(result.id, at_least=3)
    worker.stop()
    name = worker_app.look.name
    assert [line["message"] for line in lines] == [f"task {name} {step}" for step in ("received", "started", "SUCCESS")]
    assert {(line["request_id"], line["task"]) for line in lines} == {("request-10", name)}
