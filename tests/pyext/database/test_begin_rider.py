"""One rider that many threads use."""

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import pytest
from psycopg2 import extensions

from reqtrail import reset_request_id, set_request_id
from reqtrail.begin import BeginRider
from reqtrail.psycopg2 import FirstStatementRider
from reqtrail.sql_comment import Commenter

LONG_ENOUGH_FOR_A_THREAD = 0.3


class Alongside:
    """Runs something in another thread, in the midst of what this one does."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.found: Any = None
        self._work = work
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Let it be done now, as far as it goes without this thread; a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()
            self._thread.join(LONG_ENOUGH_FOR_A_THREAD)

    def result(self) -> Any:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.found

    def _run(self) -> None:
        self.found = self._work()


def test_a_class_that_two_threads_ask_for_at_once_is_one_class() -> None:
    rider = BeginRider()

    def overrides(_base: type[Any], _rider: BeginRider) -> dict[str, Any]:
        if threading.current_thread() is threading.main_thread():
            other.start()
        return {}

    other = Alongside(lambda: rider.riding(str, overrides))
    assert rider.riding(str, overrides) is other.result()


def test_a_new_class_does_not_disturb_a_change_of_the_mode() -> None:
    rider = BeginRider()

    def overrides(_base: type[Any], rider: BeginRider) -> dict[str, Any]:
        if rider.commenter.active and threading.current_thread() is threading.main_thread():
            other.start()
        return {"active": rider.commenter.active}

    other = Alongside(lambda: rider.riding(bytes, overrides))
    classes = [rider.riding(str, overrides), rider.riding(int, overrides)]
    rider.configure("comment", Commenter("comment"))
    assert [class_.active for class_ in (*classes, other.result())] == [True] * 3


class TwoPhase:
    """As much of a connection as the rider asks for, in a transaction that `tpc_begin` began."""

    status = extensions.STATUS_BEGIN
    autocommit = False


def test_two_phases_that_two_threads_begin_at_once_are_both_known(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = TwoPhase(), TwoPhase()

    class SlowSet(WeakSet[Any]):
        def __init__(self) -> None:
            super().__init__()
            if rider is not None and threading.current_thread() is threading.main_thread():
                other.start()

    rider: FirstStatementRider | None = None
    monkeypatch.setattr("reqtrail.psycopg2.WeakSet", SlowSet)
    rider = FirstStatementRider()
    other = Alongside(lambda: rider.begin_early(second))
    rider.begin_early(first)
    other.start()
    other.result()
    token = set_request_id("abc")
    assert [rider.first_statement(connection) for connection in (first, second, first)] == [
        "SET LOCAL pg_stat_requests.request_id = 'abc'",
        "SET LOCAL pg_stat_requests.request_id = 'abc'",
        None,
    ]
    reset_request_id(token)
