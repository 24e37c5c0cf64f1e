"""What an application does with a bare connection, step by step, and what it sees: the same steps on every driver."""

import asyncio
import inspect
import io
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import psycopg
import psycopg2
from psycopg2 import extensions

STEPS = (
    "autocommit",
    "back_to_savepoint",
    "begin",
    "cancel",
    "cancel_task",
    "commit",
    "copy_in",
    "copy_out",
    "count",
    "cursor",
    "division",
    "empty",
    "error",
    "insert",
    "many",
    "nul",
    "only_a_comment",
    "percent",
    "pipeline",
    "prepared",
    "procedure",
    "release",
    "returning",
    "rollback",
    "savepoint",
    "script",
    "set",
    "two_phase",
    "two_phase_error",
)

COUNT = "SELECT count(*) FROM steps"
ERROR = "SELECT a,\n  b FROM steps -- no such column"
SCRIPT = "INSERT INTO steps VALUES (7); INSERT INTO steps VALUES (8)"
CANCEL = "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"
SLEEP = "SELECT pg_sleep(60)"
ASLEEP = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
SET = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
INSERT_RETURNING = "INSERT INTO steps VALUES (3), (4) RETURNING a"
ONLY_A_COMMENT = "-- nothing to do\n ;"

# A psycopg before 3.1.9 does not cancel the statement of a task, and has its connection go on with the next one.
PSYCOPG_CANCELS = tuple(map(int, psycopg.__version__.split(".")[:3])) >= (3, 1, 9)


class Steps:
    """Takes steps on one connection. A driver has no method for a step that it does not know."""

    def take(self, step: str, *, messages: bool) -> object:
        """What the step shows an application: its result or its error, and the state of the connection after it."""
        method: Callable[[], Any] | None = getattr(self, step, None)
        if method is None:
            return None
        try:
            outcome = method()
        except (psycopg.Error, psycopg2.Error, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            outcome = _described(error, messages=messages)
        return outcome, self.state()

    def state(self) -> object:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError


def _described(error: Any, *, messages: bool) -> object:
    sqlstate = getattr(error, "sqlstate", getattr(error, "pgcode", None))
    # A comment in front moves the place of an error, and is in its message.
    diagnostics = getattr(error, "diag", None)
    place = getattr(error, "position", getattr(diagnostics, "statement_position", None))
    return (type(error).__name__, sqlstate, str(error), place) if messages else (type(error).__name__, sqlstate)


class BlockingSteps(Steps):
    """The steps that psycopg 3 and psycopg2 write alike."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.savepoints = 0

    def execute(self, sql: str, parameters: Any = None) -> object:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows = cursor.fetchall() if cursor.description else None
            return rows, cursor.rowcount, cursor.statusmessage

    def state(self) -> object:
        return self.connection.info.transaction_status, self.connection.autocommit

    def set_autocommit(self, value: bool) -> None:
        self.connection.autocommit = value

    def autocommit(self) -> None:
        self.set_autocommit(not self.connection.autocommit)

    def cancel(self) -> object:
        return self.execute(CANCEL)

    def commit(self) -> object:
        self.savepoints = 0
        return self.connection.commit()

    def count(self) -> object:
        return self.execute(COUNT)

    def cursor(self) -> object:
        with self.connection.cursor(name="rows") as cursor:
            cursor.execute("SELECT generate_series(1, %s)", [9])
            return cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()

    def division(self) -> object:
        return self.execute("SELECT 1/(a - a) FROM (SELECT random()::int AS a) AS one")

    def empty(self) -> object:
        return self.execute("")

    def error(self) -> object:
        return self.execute(ERROR)

    def insert(self) -> object:
        return self.execute("INSERT INTO steps VALUES (%s)", [1])

    def many(self) -> object:
        with self.connection.cursor() as cursor:
            cursor.executemany("INSERT INTO steps VALUES (%s)", [(1,), (2,), (3,)])
            return cursor.rowcount, cursor.statusmessage

    def nul(self) -> object:
        return self.execute("\0SELECT 1")

    def only_a_comment(self) -> object:
        return self.execute(ONLY_A_COMMENT)

    def percent(self) -> object:
        return self.execute("SELECT '%'"), self.execute("SELECT '%%', %s", ["%s */ --"])

    def release(self) -> object:
        return self.execute(f"RELEASE s{self.savepoints}")

    def returning(self) -> object:
        return self.execute(INSERT_RETURNING)

    def rollback(self) -> object:
        self.savepoints = 0
        return self.connection.rollback()

    def back_to_savepoint(self) -> object:
        return self.execute(f"ROLLBACK TO s{self.savepoints}")

    def savepoint(self) -> object:
        self.savepoints += 1
        return self.execute(f"SAVEPOINT s{self.savepoints}")

    def script(self) -> object:
        return self.execute(SCRIPT)

    def set(self) -> object:
        return self.execute(SET)

    def _begin_two_phase(self) -> None:
        self.connection.tpc_begin(self.connection.xid(1, f"steps-{self.connection.info.backend_pid}", ""))

    def two_phase_error(self) -> object:
        self._begin_two_phase()
        try:
            return self.execute(ERROR)
        finally:
            self.connection.tpc_rollback()

    def two_phase(self) -> object:
        self._begin_two_phase()
        seen = self.execute(COUNT)
        self.connection.tpc_prepare()
        self.connection.tpc_rollback()
        return seen

    def finish(self) -> None:
        self.connection.rollback()
        self.set_autocommit(False)


class Psycopg2Steps(BlockingSteps):
    """The steps of psycopg2."""

    def copy_in(self) -> object:
        with self.connection.cursor() as cursor:
            cursor.copy_from(io.StringIO("5\n6\n"), "steps")
            return cursor.rowcount

    def copy_out(self) -> object:
        with self.connection.cursor() as cursor:
            copied = io.StringIO()
            cursor.copy_expert("COPY (SELECT 1 UNION SELECT 2) TO STDOUT", copied)
            return copied.getvalue(), cursor.rowcount

    def execute(self, sql: str, parameters: Any = None) -> object:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows = cursor.fetchall() if cursor.description else None
            return rows, cursor.rowcount, cursor.statusmessage, cursor.lastrowid

    def procedure(self) -> object:
        with self.connection.cursor() as cursor:
            cursor.callproc("length", ["four"])
            return cursor.fetchall(), cursor.rowcount

    def state(self) -> object:
        connection: extensions.connection = self.connection
        return super().state(), connection.status


class PsycopgSteps(BlockingSteps):
    """The steps of psycopg 3."""

    def begin(self) -> object:
        with self.connection.transaction():
            seen = self.execute(COUNT)
            with self.connection.transaction(force_rollback=True):
                self.execute("INSERT INTO steps VALUES (9)")
            return seen, self.execute(COUNT)

    def copy_in(self) -> object:
        with self.connection.cursor() as cursor:
            with cursor.copy("COPY steps FROM STDIN") as copy:
                copy.write_row([5])
            return cursor.rowcount

    def copy_out(self) -> object:
        with self.connection.cursor() as cursor, cursor.copy("COPY (SELECT 1 UNION SELECT %s) TO STDOUT", [2]) as copy:
            return [bytes(block) for block in copy]

    def finish(self) -> None:
        self.connection._num_transactions = 0  # psycopg 3.1 miscounts when a transaction() could not begin
        super().finish()

    def pipeline(self) -> object:
        with self.connection.pipeline() as pipeline:
            first = self.connection.execute(COUNT)
            second = self.connection.execute("SELECT %s::text", ["two"])
            pipeline.sync()
            return first.fetchall(), second.fetchall()

    def prepared(self) -> object:
        return [self.connection.execute("SELECT %s + 1", [n], prepare=True).fetchone() for n in range(3)]

    def procedure(self) -> object:
        return list(self.connection.cursor().stream("SELECT generate_series(1, %s)", [3]))


class Loop:
    """Where that runs which is async; `observer` is a connection of its own."""

    def __init__(self, observer: psycopg.Connection[Any]) -> None:
        self.observer = observer
        self.loop = asyncio.new_event_loop()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def run_cancelled(self, sleep: Coroutine[Any, Any, object], pid: int) -> object:
        """What a task gets that is cancelled while the server's process `pid` sleeps for it."""
        return self.run(self._cancelled(sleep, pid))

    async def _cancelled(self, sleep: Coroutine[Any, Any, object], pid: int) -> object:
        task = asyncio.create_task(sleep)
        while not task.done() and self.observer.execute(ASLEEP, [pid]).fetchone() is None:
            await asyncio.sleep(0.001)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    def close(self) -> None:
        self.loop.close()


class Awaited:
    """What is async, to be used like its twin that blocks: whatever is to be awaited is, before it is handed on."""

    def __init__(self, wrapped: Any, loop: Loop) -> None:
        self.wrapped = wrapped
        self.loop = loop

    def _handed_on(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = self.loop.run(value)
        is_async = hasattr(value, "__aenter__") or hasattr(value, "__aiter__")
        return Awaited(value, self.loop) if is_async else value

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.wrapped, name)
        return (lambda *args, **how: self._handed_on(found(*args, **how))) if inspect.isroutine(found) else found

    def __enter__(self) -> Any:
        return self._handed_on(self.wrapped.__aenter__())

    def __exit__(self, *error: Any) -> Any:
        return self.loop.run(self.wrapped.__aexit__(*error))

    def __iter__(self) -> Iterator[Any]:
        async def all_of_them() -> list[Any]:
            return [each async for each in self.wrapped]

        return iter(self.loop.run(all_of_them()))


class AsyncPsycopgSteps(PsycopgSteps):
    """The steps of psycopg 3 on an AsyncConnection."""

    def __init__(self, bare: Any, loop: Loop) -> None:
        super().__init__(Awaited(bare, loop))
        self.bare = bare
        self.loop = loop

    def set_autocommit(self, value: bool) -> None:
        self.connection.set_autocommit(value)

    def cancel_task(self) -> object:
        if not PSYCOPG_CANCELS:
            return None
        return self.loop.run_cancelled(self.bare.execute(SLEEP), self.bare.info.backend_pid)

    def finish(self) -> None:
        self.bare._num_transactions = 0
        super().finish()


class AsyncpgSteps(Steps):
    """The steps of asyncpg, whose transactions are objects."""

    def __init__(self, connection: Any, loop: Loop) -> None:
        self.connection = connection
        self.loop = loop
        self.transactions: list[Any] = []

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    def state(self) -> object:
        return self.connection.is_in_transaction(), len(self.transactions)

    def begin(self) -> object:
        transaction = self.connection.transaction(isolation="repeatable_read" if not self.transactions else None)
        self.run(transaction.start())
        self.transactions.append(transaction)
        return None

    def _end(self, how: str) -> object:
        if not self.transactions:
            return None
        return self.run(getattr(self.transactions.pop(), how)())

    def savepoint(self) -> object:
        return self.begin()

    def commit(self) -> object:
        return self._end("commit")

    def rollback(self) -> object:
        return self._end("rollback")

    def cancel(self) -> object:
        return self.run(self.connection.fetch(CANCEL))

    def cancel_task(self) -> object:
        outcome = self.loop.run_cancelled(self.connection.fetch(SLEEP), self.connection.get_server_pid())
        # asyncpg waits for the end of what it cancelled only before its next statement.
        with suppress(asyncpg.InFailedSQLTransactionError):
            self.run(self.connection.execute("SELECT 1"))
        return outcome

    def copy_in(self) -> object:
        return self.run(self.connection.copy_records_to_table("steps", records=[(5,), (6,)]))

    def copy_out(self) -> object:
        copied = io.BytesIO()
        copied.close = lambda: None  # type: ignore[method-assign]  # asyncpg closes what it has written to
        status = self.run(self.connection.copy_from_query("SELECT 1 UNION SELECT $1::int", 2, output=copied))
        return status, copied.getvalue()

    def count(self) -> object:
        return self.run(self.connection.fetchval(COUNT))

    def cursor(self) -> object:
        if not self.connection.is_in_transaction():
            return None  # asyncpg refuses that, but leaves the server in a transaction if it had to parse the text

        async def rows() -> list[object]:
            return [
                tuple(row) async for row in self.connection.cursor("SELECT generate_series(1, $1::int)", 7, prefetch=3)
            ]

        return self.run(rows())

    def division(self) -> object:
        return self.run(self.connection.fetch("SELECT 1/(a - a) FROM (SELECT random()::int AS a) AS one"))

    def empty(self) -> object:
        return self.run(self.connection.fetch(""))  # execute("") is a fault of asyncpg itself

    def error(self) -> object:
        return self.run(self.connection.fetch(ERROR))

    def insert(self) -> object:
        return self.run(self.connection.execute("INSERT INTO steps VALUES ($1)", 1))

    def many(self) -> object:
        return self.run(self.connection.executemany("INSERT INTO steps VALUES ($1)", [(1,), (2,)]))

    def only_a_comment(self) -> object:
        return self.run(self.connection.fetch(ONLY_A_COMMENT))

    def percent(self) -> object:
        return self.run(self.connection.fetchrow("SELECT '%', '%%', $1::text", "$1 */ --"))["text"]

    def prepared(self) -> object:
        statement = self.run(self.connection.prepare("SELECT $1::int + 1"))
        return statement.get_query(), [self.run(statement.fetchval(n)) for n in range(3)]

    def returning(self) -> object:
        return [tuple(row) for row in self.run(self.connection.fetch(INSERT_RETURNING))]

    def script(self) -> object:
        return self.run(self.connection.execute(SCRIPT))

    def set(self) -> object:
        return self.run(self.connection.execute(SET))

    def finish(self) -> None:
        self.transactions.clear()
        self.run(self.connection.reset())
        # asyncpg keeps the transaction that it knows of beyond a ROLLBACK that it did not send itself.
        self.connection._top_xact = None
