import contextvars
import re

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from reqtrail._native import request_id_var
from tests.pyext.database.database import Database, seen_id
from tests.pyext.database.wire_tap import WireTap


class Base(DeclarativeBase):
    """What the tests map."""


class Note(Base):
    """A row in which the server writes the request that it was inserted for."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    said: Mapped[str]
    of: Mapped[str] = mapped_column(
        server_default=text("coalesce(current_setting('pg_stat_requests.request_id', true), '')")
    )


@pytest.fixture
def riding(database: Database) -> Database:
    reqtrail.sqlalchemy.install(database.engine)
    return database


def uses_extended_protocol_for_begin() -> bool:
    """As psycopg did before 3.2, which is four messages in one round trip; with the id it is one."""
    return psycopg.__version__ < "3.2"


def two_statements(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
    connection.execute(text("SELECT 2"))


def test_the_server_knows_the_id_during_the_transaction_only(riding: Database) -> None:
    assert riding.begin(seen_id, "first") == "first"
    assert riding.begin(seen_id) is None
    assert riding.begin(seen_id, "second") == "second"
    assert riding.run(seen_id, "autobegun") == "autobegun"
    assert riding.begin(seen_id) is None


def test_it_shares_the_message_of_begin_and_costs_no_round_trip(riding: Database, tap: WireTap) -> None:
    riding.begin(two_statements)
    tap.conversation.clear()
    riding.begin(two_statements)
    plain_trips, plain_messages = tap.conversation.round_trips, [kind for kind, _ in tap.conversation.sent]

    tap.conversation.clear()
    riding.begin(two_statements, "abc-123")
    assert tap.conversation.round_trips == plain_trips
    set_local = "SET LOCAL pg_stat_requests.request_id = 'abc-123'"
    if riding.kind == "psycopg2":
        assert tap.conversation.queries[:2] == ["BEGIN", f"{set_local};\nSELECT 1"]
    else:
        assert re.fullmatch(rf"BEGIN(?: ISOLATION LEVEL READ COMMITTED)?; {set_local}", tap.conversation.queries[0])
    if not uses_extended_protocol_for_begin():
        assert [kind for kind, _ in tap.conversation.sent] == plain_messages


def test_each_new_connection_of_an_engine_without_a_pool_carries_it(database: Database, tap: WireTap) -> None:
    without = Database(
        database.kind, tap.port, poolclass=NullPool, pool_size=None, max_overflow=None, pool_timeout=None
    )
    reqtrail.sqlalchemy.install(without.engine)

    def seen_by(connection: Connection) -> tuple[str | None, object]:
        return seen_id(connection), connection.scalar(text("SELECT pg_backend_pid()"))

    try:
        seen = [without.begin(seen_by, request_id) for request_id in ("first", "second", None, "third")]
        assert [request_id for request_id, _ in seen] == ["first", "second", None, "third"]
        assert len({pid for _, pid in seen}) == len(seen)
        assert tap.conversation.texts.count(b"SET LOCAL") == 3  # and none as SQLAlchemy gets to know the server
    finally:
        without.close()


def test_sessions_of_the_orm_write_every_row_for_their_request(riding: Database) -> None:
    def notes(session: Session) -> None:
        session.add(Note(said="flushed"))
        session.flush()
        with session.begin_nested():
            session.add(Note(said="nested"))
        savepoint = session.begin_nested()
        session.add(Note(said="taken back"))
        session.flush()
        savepoint.rollback()
        session.commit()
        session.add(Note(said="the next transaction"))
        session.commit()
        session.add(Note(said="rolled back"))
        session.flush()
        session.rollback()
        with session.begin():
            session.add_all([Note(said="one of many"), Note(said="another")])

    def written(session: Session) -> list[tuple[str, str]]:
        return [(note.said, note.of) for note in session.query(Note).order_by(Note.id)]

    kept = ("flushed", "nested", "the next transaction", "one of many", "another")
    riding.begin(Base.metadata.create_all)
    try:
        for request_id in ("abc", "def", None):
            riding.in_session(notes, request_id)
        of_each = [(said, of) for of in ("abc", "def", "") for said in kept]
        assert riding.in_session(written) == of_each
        assert riding.in_session(seen_id, "ghi") == "ghi"
        assert riding.in_session(seen_id) is None
    finally:
        riding.begin(Base.metadata.drop_all)


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_isolation_levels_are_kept(riding: Database, tap: WireTap, level: str) -> None:
    def isolation(connection: Connection) -> tuple[str, str | None]:
        return connection.scalar(text("SHOW transaction_isolation")), seen_id(connection)

    assert riding.run(isolation, "abc", isolation_level=level) == (level.lower(), "abc")
    rode_on = f"BEGIN ISOLATION LEVEL {level}" if riding.kind != "psycopg2" else ""
    assert f"{rode_on}; SET LOCAL".removeprefix("; ") in "\n".join(tap.conversation.queries)


def test_repeatable_read_still_sees_what_was_committed_before_its_first_statement(
    riding: Database, plain_postgres: Postgres
) -> None:
    with plain_postgres.connect() as other:
        other.execute("DROP TABLE IF EXISTS snapshot; CREATE TABLE snapshot (a int); INSERT INTO snapshot VALUES (1)")

        def begin_then_look(connection: Connection) -> object:
            # A statement that takes no snapshot, so that the driver has sent its BEGIN.
            connection.execute(text("LOCK TABLE snapshot IN ACCESS SHARE MODE"))
            other.execute("INSERT INTO snapshot VALUES (2)")
            return connection.scalar(text("SELECT count(*) FROM snapshot"))

        assert riding.run(begin_then_look, "abc", isolation_level="REPEATABLE READ") == 2


def test_the_application_may_still_set_the_transaction_first(riding: Database) -> None:
    def serializable(connection: Connection) -> object:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        return connection.scalar(text("SHOW transaction_isolation"))

    assert riding.begin(serializable, "abc") == "serializable"


def test_a_savepoint_rolled_back_keeps_the_id(riding: Database) -> None:
    def nested(connection: Connection) -> list[str | None]:
        seen = []
        savepoint = connection.begin_nested()
        seen.append(seen_id(connection))
        savepoint.rollback()
        seen.append(seen_id(connection))
        with connection.begin_nested():
            seen.append(seen_id(connection))
        return seen

    assert riding.begin(nested, "abc") == ["abc", "abc", "abc"]


def test_autocommit_has_no_begin_and_so_no_id(riding: Database, tap: WireTap) -> None:
    assert riding.run(seen_id, "abc", isolation_level="AUTOCOMMIT") is None
    assert b"abc" not in tap.conversation.texts


def test_an_error_in_a_statement_is_the_applications_and_the_next_transaction_is_clean(riding: Database) -> None:
    def divide(connection: Connection) -> None:
        connection.execute(text("SELECT 1/0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        riding.begin(divide, "abc")
    assert riding.begin(seen_id) is None
    assert riding.begin(seen_id, "def") == "def"


def test_pre_ping_works_and_costs_no_message_more(riding: Database, tap: WireTap) -> None:
    pinging = Database(riding.kind, tap.port, pool_pre_ping=True)
    reqtrail.sqlalchemy.install(pinging.engine)
    try:
        for _ in range(2):  # a new connection is not pinged
            pinging.begin(two_statements)
        tap.conversation.clear()
        pinging.begin(two_statements)
        plain_trips = tap.conversation.round_trips
        tap.conversation.clear()
        assert pinging.begin(seen_id, "abc") == "abc"
        tap.conversation.clear()
        pinging.begin(two_statements, "abc")
        assert tap.conversation.round_trips == plain_trips
        assert tap.conversation.texts.count(b"SET LOCAL") == 1  # and none with the ping
    finally:
        pinging.close()


def test_a_value_that_is_no_request_id_never_reaches_the_sql(riding: Database, tap: WireTap) -> None:
    def forged(value: object) -> str | None:
        request_id_var.set(value)  # type: ignore[arg-type]  # past the check of set_request_id
        return riding.begin(seen_id)

    for value in ("x'; DROP TABLE t; --", "", "a" * 129, "é", "\ud800", 7):
        assert contextvars.copy_context().run(forged, value) is None
    assert b"SET LOCAL" not in tap.conversation.texts
    assert b"DROP" not in tap.conversation.texts


def test_a_connection_that_was_lost_is_replaced_and_rides_again(riding: Database, plain_postgres: Postgres) -> None:
    pid = riding.begin(lambda connection: connection.scalar(text("SELECT pg_backend_pid()")))
    with plain_postgres.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(DBAPIError):
        riding.begin(seen_id, "abc")
    assert riding.begin(seen_id, "def") == "def"
