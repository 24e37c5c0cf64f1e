"""An application cannot tell whether the hook is there: the same steps give the same results and the same errors."""

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, PendingRollbackError

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from tests.pyext.database.database import KINDS, Database
from tests.pyext.database.driver_steps import ASLEEP, SLEEP
from tests.pyext.database.hook_options import HOOKS, hook_options

STEPS = (
    "back_to_savepoint",
    "begin",
    "cancel",
    "cancel_task",
    "commit",
    "count",
    "cursor",
    "error",
    "fetch",
    "insert",
    "many",
    "percent",
    "release",
    "rollback",
    "savepoint",
    "set",
)
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT")

Pair = tuple[Database, Database]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=HOOKS)
def pair(request: pytest.FixtureRequest, kind: str, plain_postgres: Postgres) -> Iterator[Pair]:
    """Two engines alike, each with a table of its own; the second has the hook."""
    plain, hooked = (
        Database(kind, plain_postgres.port, connect_args=_search_path(kind, schema)) for schema in ("plain", "hooked")
    )
    with plain_postgres.connect() as setup:
        for schema in ("plain", "hooked"):
            setup.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            setup.execute(f"CREATE SCHEMA {schema} CREATE TABLE steps (a int)")
    reqtrail.sqlalchemy.install(hooked.engine, **hook_options(request.param))
    yield plain, hooked
    plain.close()
    hooked.close()


def _search_path(kind: str, schema: str) -> dict[str, object]:
    if kind == "asyncpg":
        return {"server_settings": {"search_path": schema}}
    return {"options": f"-c search_path={schema}"}


async def _cancel_once_asleep(task: asyncio.Task[object], observer: psycopg.Connection, pid: int) -> None:
    while observer.execute(ASLEEP, [pid]).fetchone() is None:
        await asyncio.sleep(0.001)
    task.cancel()


def _cancelled_task(connection: Connection) -> object:
    """What the task that this is gets from a statement, when it is cancelled while the server sleeps in it."""
    if not connection.dialect.is_async:
        return None
    task = asyncio.current_task()
    assert task is not None
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    dsn = f"host=127.0.0.1 port={connection.engine.url.port} user=postgres"
    with psycopg.connect(dsn, autocommit=True) as observer:
        cancelling = asyncio.ensure_future(_cancel_once_asleep(task, observer, pid))
        try:
            return connection.scalar(text(SLEEP))
        except asyncio.CancelledError:
            # SQLAlchemy drops the connection, but not every release of the drivers has its server end the statement.
            observer.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            return "cancelled"
        finally:
            cancelling.cancel()


def take(connection: Connection, step: str) -> object:
    match step:
        case "begin":
            connection.begin()
        case "cancel":
            return connection.scalar(text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"))
        case "cancel_task":
            return _cancelled_task(connection), connection.invalidated, connection.in_transaction()
        case "percent":
            found = connection.execute(text("SELECT '%', :a, '%%', '%s' -- the end"), {"a": "%s */"}).one()
            plain = connection.exec_driver_sql("SELECT 5 % 3", execution_options={"no_parameters": True})
            return [*found, plain.scalar(), connection.exec_driver_sql("SELECT '%%'").scalar()]
        case "fetch":
            rows = connection.execute(text("INSERT INTO steps VALUES (2), (3) RETURNING a"))
            return rows.fetchone(), rows.fetchall(), rows.rowcount, [*rows.keys()]
        case "many":
            return connection.execute(text("INSERT INTO steps VALUES (:a)"), [{"a": 4}, {"a": 5}]).rowcount
        case "insert":
            return connection.execute(text("INSERT INTO steps VALUES (1)")).rowcount
        case "count":
            return connection.scalar(text("SELECT count(*) FROM steps"))
        case "error":
            return connection.execute(text("SELECT * FROM no_such_table"))
        case "savepoint":
            connection.begin_nested()
        case "release" | "back_to_savepoint":
            if (savepoint := connection.get_nested_transaction()) is not None:
                (savepoint.commit if step == "release" else savepoint.rollback)()
        case "commit":
            connection.commit()
        case "rollback":
            connection.rollback()
        case "cursor":
            numbers = text("SELECT generate_series(1, 40)")
            rows = connection.execute(numbers, execution_options={"stream_results": True})
            some = [rows.fetchone(), *rows.fetchmany(2)]
            rows.close()
            return some
        case "set":
            connection.execute(text("SET TRANSACTION READ ONLY"))
    return connection.in_transaction(), connection.in_nested_transaction()


def outcomes(connection: Connection, steps: list[str]) -> list[object]:
    found: list[object] = []
    for step in steps:
        try:
            found.append(take(connection, step))
        # SQLAlchemy hands on what asyncpg raises when a server-side cursor reads its first rows.
        except (DBAPIError, PendingRollbackError, InvalidRequestError, asyncpg.PostgresError) as error:
            found.append((type(error).__name__, getattr(getattr(error, "orig", error), "sqlstate", None)))
    connection.rollback()
    return found


# SQLAlchemy drops psycopg's server-side cursor unclosed when its DECLARE fails, with and without the hook.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(steps=[*STEPS], level="READ COMMITTED", tagged=True)
@example(steps=[step for name in STEPS for step in (name, "rollback")], level="READ COMMITTED", tagged=True)
@example(steps=["insert", "cancel_task", "count", "rollback", "count"], level="READ COMMITTED", tagged=True)
@example(steps=["cursor", "set", "insert"], level="READ COMMITTED", tagged=True)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=14), level=st.sampled_from(LEVELS), tagged=st.booleans())
def test_results_and_errors_are_the_same_with_the_hook(pair: Pair, steps: list[str], level: str, tagged: bool) -> None:
    plain, hooked = pair
    expected = plain.run(lambda connection: outcomes(connection, steps), isolation_level=level)
    found = hooked.run(
        lambda connection: outcomes(connection, steps), "abc-123" if tagged else None, isolation_level=level
    )
    assert found == expected
