from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

import reqtrail.psycopg
import reqtrail.sqlalchemy
from reqtrail import reset_request_id, set_request_id
from reqtrail.begin import BeginRider
from tests.pyext.database.database import Database, seen_id
from tests.pyext.database.wire_tap import WireTap

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true)"


@pytest.fixture
def connection(tap: WireTap) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A bare connection that works for request "abc"."""
    token = set_request_id("abc")
    with psycopg.connect(f"host=127.0.0.1 port={tap.port} user=postgres") as connection:
        reqtrail.psycopg.ride(connection, BeginRider())
        yield connection
        connection.rollback()
    reset_request_id(token)


def test_a_pipeline_carries_the_id_in_as_many_round_trips(
    connection: psycopg.Connection[tuple[object, ...]], tap: WireTap
) -> None:
    def in_a_pipeline() -> tuple[object, ...] | None:
        tap.conversation.clear()
        with connection.pipeline():
            first = connection.execute("SELECT 1")
            second = connection.execute(SEEN)
            seen = second.fetchone()
            assert first.fetchone() == (1,)
            connection.commit()
        return seen

    assert in_a_pipeline() == ("abc",)
    trips = tap.conversation.round_trips
    connection.__class__ = psycopg.Connection
    assert in_a_pipeline() == ("",)
    assert tap.conversation.round_trips == trips


def test_an_error_in_a_pipeline_is_the_statements_own(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    def divide_in_a_pipeline() -> None:
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SELECT 1/0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        divide_in_a_pipeline()
    connection.rollback()
    assert connection.execute(SEEN).fetchone() == ("abc",)


def test_transaction_blocks_and_savepoints_carry_it(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.autocommit = True
    assert connection.execute(SEEN).fetchone() in {(None,), ("",)}
    with connection.transaction():
        assert connection.execute(SEEN).fetchone() == ("abc",)
        with connection.transaction(force_rollback=True):
            assert connection.execute(SEEN).fetchone() == ("abc",)
        assert connection.execute(SEEN).fetchone() == ("abc",)
    assert connection.execute(SEEN).fetchone() == ("",)


def test_a_server_side_cursor_reads_the_rows_of_its_own_query(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    with connection.cursor(name="rows") as cursor:
        cursor.execute("SELECT generate_series(1, 3)")
        assert cursor.fetchall() == [(1,), (2,), (3,)]
    assert connection.execute(SEEN).fetchone() == ("abc",)


def test_a_begin_that_the_application_writes_itself_is_left_alone(
    connection: psycopg.Connection[tuple[object, ...]], tap: WireTap
) -> None:
    connection.autocommit = True
    connection.execute("BEGIN")
    connection.execute("COMMIT")
    assert b"SET LOCAL" not in tap.conversation.texts


@pytest.mark.parametrize("kind", ["psycopg", "psycopg2"])
def test_two_phase_transactions_carry_it(kind: str, tap: WireTap, plain_postgres: object) -> None:
    database = Database(kind, tap.port)
    reqtrail.sqlalchemy.install(database.engine)

    def two_phase(connection: Connection) -> str | None:
        with connection.begin_twophase() as transaction:
            connection.execute(text("CREATE TABLE IF NOT EXISTS two_phase (a int)"))
            seen = seen_id(connection)
            transaction.prepare()
            transaction.commit()
        return seen

    try:
        assert database.run(two_phase, "abc") == "abc"
        assert database.begin(seen_id) is None
    finally:
        database.close()


def test_a_release_of_psycopg_without_the_hook_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    class Changed:
        pass

    rider = BeginRider()
    reqtrail.psycopg.ride(Changed(), rider)  # type: ignore[arg-type]  # stands for a later psycopg
    reqtrail.psycopg.ride(Changed(), rider)  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "transactions go without a request id from here on: psycopg changed: Changed has no _begin_statement any more"
    ]


def test_a_begin_that_fails_by_itself_leaves_the_ids_on(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection._begin_statement = b"BEGIN WRONGLY"
    with pytest.raises(psycopg.errors.SyntaxError):
        connection.execute("SELECT 1")
    connection._begin_statement = b"BEGIN"
    assert connection.execute(SEEN).fetchone() == ("abc",)


class EqualProxy:
    """What wrapt puts in place of a function: it says that it is equal to it, and of its class."""

    def __init__(self, wrapped: Any, called: list[str]) -> None:
        self._wrapped = wrapped
        self._called = called

    def __call__(self, *args: object, **how: object) -> object:
        self._called.append("proxy")
        return self._wrapped(*args, **how)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == other)

    def __hash__(self) -> int:
        return hash(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def test_a_proxy_that_is_equal_to_connect_is_still_called(tap: WireTap, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr("psycopg.connect", EqualProxy(psycopg.connect, called))
    database = Database("psycopg", tap.port)
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") == "abc"
    assert called == ["proxy"]
    database.close()


@pytest.mark.parametrize("name", ["connect", "Connection.connect"])
def test_a_connect_that_another_instrument_replaced_is_still_called(
    name: str, tap: WireTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    original = psycopg.connect

    def connect(*args: Any, **how: Any) -> Any:
        called.append(name)
        return original(*args, **how)

    monkeypatch.setattr(f"psycopg.{name}", connect)
    database = Database("psycopg", tap.port)
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") == "abc"
    assert called == (["connect"] if name == "connect" else [])  # SQLAlchemy calls psycopg.connect
    database.close()
