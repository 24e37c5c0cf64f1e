import contextvars
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery.app.task import Context

import reqtrail
from reqtrail._native import enter_task, inject_request_id, leave_task, request_id_var, task_seconds

BAD_IDS = ["", "a" * 129, "x'; DROP TABLE t", "a\r\nb", "é", "\ud800", 7, None, b"abc", ["a"]]


@pytest.fixture
def current() -> Iterator[str]:
    token = reqtrail.set_request_id("current-1")
    yield "current-1"
    reqtrail.reset_request_id(token)


def is_fresh(request_id: object) -> bool:
    return isinstance(request_id, str) and str(uuid.UUID(request_id)) == request_id


def current_in(request: Context) -> str | None:
    """The id that is current between enter_task and leave_task."""
    before = reqtrail.get_request_id()
    enter_task(request)
    inside = reqtrail.get_request_id()
    leave_task()
    assert reqtrail.get_request_id() == before
    return inside


def test_a_publish_carries_the_current_id_over_any_other(current: str) -> None:
    headers: dict[str, Any] = {"request_id": "older", "root_id": "root-1", "tenant": 7}
    inject_request_id(headers)
    inject_request_id(headers)
    assert headers == {"request_id": current, "root_id": "root-1", "tenant": 7}


def test_a_publish_outside_of_a_request_keeps_a_valid_header() -> None:
    headers: dict[str, Any] = {"request_id": "older", "root_id": "root-1"}
    inject_request_id(headers)
    assert headers["request_id"] == "older"


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_publish_outside_of_a_request_takes_the_root_id_else_a_new_one(bad: Any) -> None:
    headers: dict[str, Any] = {"request_id": bad, "root_id": "root-1"}
    inject_request_id(headers)
    assert headers["request_id"] == "root-1"
    headers = {"request_id": bad, "root_id": bad}
    inject_request_id(headers)
    assert is_fresh(headers["request_id"])
    headers = {}
    inject_request_id(headers)
    assert is_fresh(headers["request_id"])


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_bad_current_id_is_not_published(bad: Any) -> None:
    def publish() -> object:
        request_id_var.set(bad)
        headers: dict[str, Any] = {"root_id": "root-1"}
        inject_request_id(headers)
        return headers["request_id"]

    assert contextvars.copy_context().run(publish) == "root-1"


def test_headers_that_are_no_dict_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="headers are a dict, not list"):
        inject_request_id([])  # type: ignore[arg-type]  # the subject


def test_a_task_works_for_the_id_of_its_message(current: str) -> None:
    assert current_in(Context({"request_id": "sent-1", "root_id": "root-1"})) == "sent-1"
    assert current_in(Context({"headers": {"request_id": "sent-by-protocol-1"}, "root_id": "root-1"})) == (
        "sent-by-protocol-1"
    )


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_bad_id_in_a_message_gives_way_to_the_root_id_else_a_new_one(bad: Any) -> None:
    assert current_in(Context({"request_id": bad, "headers": bad, "root_id": "root-1"})) == "root-1"
    assert is_fresh(current_in(Context({"request_id": bad, "root_id": bad})))


@pytest.mark.parametrize("bad", BAD_IDS)
def test_entering_a_task_tells_whether_its_message_had_a_bad_id(bad: Any) -> None:
    for request in (Context({"request_id": bad}), Context({"headers": {"request_id": bad}})):
        assert enter_task(request) is (bad is not None)
        leave_task()
    good = Context({"request_id": "sent-1"})
    assert enter_task(good) is False
    leave_task()


def test_an_eager_task_works_for_its_callers_request(current: str) -> None:
    assert current_in(Context({"is_eager": True, "root_id": "root-1"})) == current


def test_an_eager_task_without_a_caller_works_for_its_root() -> None:
    assert current_in(Context({"is_eager": True, "root_id": "root-1"})) == "root-1"


def test_nested_tasks_put_back_what_they_found() -> None:
    outer, inner = Context({"request_id": "outer"}), Context({"request_id": "inner"})
    enter_task(outer)
    enter_task(inner)
    assert reqtrail.get_request_id() == "inner"
    leave_task()
    assert reqtrail.get_request_id() == "outer"
    leave_task()
    assert reqtrail.get_request_id() is None


def test_the_clock_runs_from_enter_to_leave_for_the_innermost_task() -> None:
    assert task_seconds("timed") is None
    enter_task(Context({"request_id": "request-1", "id": "timed"}))
    first = task_seconds("timed")
    second = task_seconds("timed")
    assert first is not None
    assert second is not None
    assert 0 <= first <= second < 60
    enter_task(Context({"request_id": "request-2", "id": "inside"}))
    assert task_seconds("timed") is None
    assert task_seconds("inside") is not None
    leave_task()
    assert task_seconds("timed") is not None
    leave_task()
    assert task_seconds("timed") is None
    leave_task()


@pytest.mark.parametrize("task_id", BAD_IDS)
def test_a_task_without_that_id_has_no_clock(task_id: Any) -> None:
    enter_task(Context({"id": "timed"}))
    assert task_seconds(task_id) is None
    leave_task()


def test_what_is_no_request_of_a_task_changes_nothing() -> None:
    with pytest.raises(AttributeError):
        enter_task(object())
    assert reqtrail.get_request_id() is None
    leave_task()
