"""What the id adds to a transaction of each driver, beside what else carries one, in one run.

A transaction is BEGIN, one SELECT and COMMIT on a server with the extension, with a new id each time. Each candidate
has processes of its own, as in an application, where all connections are of one class: CPython fits its code to the
classes that it meets. Every round runs some of each process, in a new order. Compared are the fast ones, at the
twentieth part of all: a busy machine disturbs them least. What is left is chance of each process: where its memory lies
in the processor's caches, and its classes in CPython's cache of methods. So there are several, each made differently,
and their mean counts. One of the candidates is nothing once more, which shows how much of a figure is chance.

"The same text by hand" is what no hook can go below: the driver is handed the very text that ours sends. Its figure is
what that takes more than the same transaction, written by hand too, with a plain BEGIN.

The client's time is what its thread computes, in user code and kernel. The server has another processor, as in
production: on the client's own, what it does for the SET would take the caches away from the client. Both processors
are kept awake by what the kernel runs only when nothing else wants to, because to wake one that sleeps costs more than
what is measured, and not the same each time.

The time of client and server together is what passes while both share one processor.

Without the extension the setting is one that nobody reads.

With engines, ours is the id alone. `install` counts the pool's series too, unless told not to: what both take is beside
it.
"""

import asyncio
import gc
import multiprocessing
import os
import random
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import fmean
from typing import Any

import asyncpg
import psycopg
import psycopg2
from psycopg import generators
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from reqtrail import metrics, reset_request_id, set_request_id
from tests.performance.report import BenchRow, write
from tests.pyext.database.wire_tap import WireTap

PROCESSES = 18
CLASSES = 4096  # as many as CPython's cache of methods has places
ROUNDS = 15
WARM_UP = 6
TRANSACTIONS = 16
FIRST = 200  # in which CPython fits its code
FAST = 20
GOAL_US = 5.0
COMMAND = "build/venv/bin/python -m tests.performance database"
OURS, PLAIN, AGAIN = "ours", "plain", "nothing once more"
SET, COMMENT = "a SET of its own", "the id in a comment"
WITH_POOL = "ours with the pool's series"
BY_HAND, BY_HAND_PLAIN = "the same text by hand", "plain by hand"
CANDIDATES = (PLAIN, OURS, SET, COMMENT, AGAIN)
CANDIDATES_OF_DRIVERS = (*CANDIDATES, BY_HAND, BY_HAND_PLAIN)
CANDIDATES_OF_ENGINES = (*CANDIDATES, WITH_POOL)

Transaction = Callable[[str], None]
Close = Callable[[], None]


def _set(request_id: str) -> str:
    return f"SET LOCAL pg_stat_requests.request_id = '{request_id}'"


def _begin(candidate: str, request_id: str) -> str:
    return f"BEGIN; {_set(request_id)}" if candidate == BY_HAND else "BEGIN"


def _select(candidate: str, request_id: str, parameter: str) -> str:
    comment = f"/* request_id: {request_id} */ " if candidate == COMMENT else ""
    return f"{comment}SELECT {parameter} + 1"


def _asyncpg(dsn: str, candidate: str) -> tuple[Transaction, Close]:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(dsn))
    if candidate == OURS:
        reqtrail.asyncpg.install(connection)

    async def transaction(request_id: str) -> None:
        async with connection.transaction():
            if candidate == SET:
                await connection.execute(_set(request_id))
            await connection.fetchval(_select(candidate, request_id, "$1::int"), 1)

    async def by_hand(request_id: str) -> None:
        await connection.execute(_begin(candidate, request_id))
        await connection.fetchval("SELECT $1::int + 1", 1)
        await connection.execute("COMMIT")

    return _on_loop(loop, by_hand if candidate in (BY_HAND, BY_HAND_PLAIN) else transaction, connection.close)


def _on_loop(
    loop: asyncio.AbstractEventLoop, work: Callable[[str], Awaitable[None]], close: Callable[[], Awaitable[None]]
) -> tuple[Transaction, Close]:
    def end() -> None:
        loop.run_until_complete(close())
        loop.close()

    return lambda request_id: loop.run_until_complete(work(request_id)), end


def _psycopg(dsn: str, candidate: str) -> tuple[Transaction, Close]:
    by_hand = candidate in (BY_HAND, BY_HAND_PLAIN)
    connection_class = reqtrail.psycopg.connection_class() if candidate == OURS else psycopg.Connection
    connection = connection_class.connect(dsn, autocommit=by_hand)
    return _psycopg_by_hand(connection, candidate) if by_hand else _dbapi(connection, candidate)


def _psycopg_by_hand(connection: Any, candidate: str) -> tuple[Transaction, Close]:
    def send(command: str) -> None:
        connection.pgconn.send_query(command.encode())
        connection.wait(generators.execute(connection.pgconn))

    def transaction(request_id: str) -> None:
        with connection.cursor() as cursor:
            send(_begin(candidate, request_id))
            cursor.execute("SELECT %s::int + 1", [1])
            cursor.fetchone()
        send("COMMIT")

    return transaction, connection.close


def _psycopg2(dsn: str, candidate: str) -> tuple[Transaction, Close]:
    connection = psycopg2.connect(dsn)
    if candidate == OURS:
        reqtrail.psycopg2.install(connection)
    return _dbapi(connection, candidate)


def _dbapi(connection: Any, candidate: str) -> tuple[Transaction, Close]:
    def transaction(request_id: str) -> None:
        with connection.cursor() as cursor:
            if candidate == SET:
                cursor.execute(_set(request_id))
            select = _select(candidate, request_id, "%s::int")
            cursor.execute(f"{_set(request_id)};\n{select}" if candidate == BY_HAND else select, [1])
            cursor.fetchone()
        connection.commit()

    return transaction, connection.close


def _sqlalchemy_asyncpg(dsn: str, candidate: str) -> tuple[Transaction, Close]:
    loop = asyncio.new_event_loop()
    engine = create_async_engine(dsn.replace("postgresql", "postgresql+asyncpg", 1), pool_size=1)
    if candidate in (OURS, WITH_POOL):
        reqtrail.sqlalchemy.install(engine, pool_metrics=candidate == WITH_POOL)
    statement = text("SELECT CAST(:n AS int) + 1")

    async def transaction(request_id: str) -> None:
        async with engine.begin() as connection:
            if candidate == SET:
                await connection.execute(text(_set(request_id)))
            chosen = text(f"/* request_id: {request_id} */ {statement}") if candidate == COMMENT else statement
            await connection.execute(chosen, {"n": 1})

    return _on_loop(loop, transaction, engine.dispose)


def _sqlalchemy(driver: str, dsn: str, candidate: str) -> tuple[Transaction, Close]:
    engine = create_engine(dsn.replace("postgresql", f"postgresql+{driver}", 1), pool_size=1)
    if candidate in (OURS, WITH_POOL):
        reqtrail.sqlalchemy.install(engine, pool_metrics=candidate == WITH_POOL)
    statement = text("SELECT CAST(:n AS int) + 1")

    def transaction(request_id: str) -> None:
        with engine.begin() as connection:
            if candidate == SET:
                connection.execute(text(_set(request_id)))
            chosen = text(f"/* request_id: {request_id} */ {statement}") if candidate == COMMENT else statement
            connection.execute(chosen, {"n": 1})

    return transaction, engine.dispose


DRIVERS: dict[str, tuple[str, Callable[[str, str], tuple[Transaction, Close]]]] = {
    "asyncpg": (f"asyncpg {version('asyncpg')}", _asyncpg),
    "psycopg": (f"psycopg {version('psycopg')}", _psycopg),
    "psycopg2": (f"psycopg2 {version('psycopg2-binary')}", _psycopg2),
    "SQLAlchemy + asyncpg": (f"SQLAlchemy {version('SQLAlchemy')}", _sqlalchemy_asyncpg),
    "SQLAlchemy + psycopg": (f"SQLAlchemy {version('SQLAlchemy')}", partial(_sqlalchemy, "psycopg")),
    "SQLAlchemy + psycopg2": (f"SQLAlchemy {version('SQLAlchemy')}", partial(_sqlalchemy, "psycopg2")),
}


def _once(transaction: Transaction) -> tuple[float, float]:
    """Microseconds of the client, and of client and server together."""
    request_id = str(uuid.uuid4())
    token = set_request_id(request_id)
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    transaction(request_id)
    taken = (time.thread_time_ns() - cpu) / 1000, (time.perf_counter_ns() - wall) / 1000
    reset_request_id(token)
    return taken


def _work(make: Callable[[], tuple[Transaction, Close]], orders: Connection) -> None:
    """Run as many transactions as each order says, and answer with their times, until the order is 0."""
    for _ in range(random.Random(os.getpid()).randrange(CLASSES)):
        type("Other", (), {})  # moves on the place of the next class
    transaction, close = make()
    for _ in range(FIRST):
        _once(transaction)
    gc.collect()
    gc.disable()
    orders.send(None)
    while count := orders.recv():
        orders.send([_once(transaction) for _ in range(count)][WARM_UP:])
    close()


def _measure(makes: dict[str, Callable[[], tuple[Transaction, Close]]]) -> dict[str, list[tuple[float, float]]]:
    """The two times of a fast transaction of each candidate, once for each of its processes."""
    workers = [(candidate, *_start(make)) for _ in range(PROCESSES) for candidate, make in makes.items()]
    taken: list[list[tuple[float, float]]] = [[] for _ in workers]
    for _ in range(ROUNDS):
        for at in random.sample(range(len(workers)), len(workers)):
            orders = workers[at][2]
            orders.send(WARM_UP + TRANSACTIONS)
            taken[at] += orders.recv()
    fast: dict[str, list[tuple[float, float]]] = {candidate: [] for candidate in makes}
    for (candidate, process, orders), times in zip(workers, taken, strict=True):
        orders.send(0)
        process.join()
        fast[candidate].append((_fast([client for client, _ in times]), _fast([both for _, both in times])))
    return fast


def _start(make: Callable[[], tuple[Transaction, Close]]) -> tuple[BaseProcess, Connection]:
    fork = multiprocessing.get_context("fork")
    orders, theirs = fork.Pipe()
    process = fork.Process(target=_work, args=(make, theirs), daemon=True)
    process.start()
    theirs.close()
    orders.recv()
    return process, orders


def _fast(values: list[float]) -> float:
    return sorted(values)[len(values) // FAST]


def _row(name: str, unit: str, taken: dict[str, list[float]], goal: float | None, peer: str) -> BenchRow:
    added = {candidate: fmean(values) - fmean(taken[PLAIN]) for candidate, values in taken.items()}
    if BY_HAND in added:
        added[BY_HAND] -= added.pop(BY_HAND_PLAIN)
    thirds = [fmean(taken[OURS][third::3]) - fmean(taken[PLAIN][third::3]) for third in range(3)]
    return {
        "name": name,
        "unit": unit,
        "ours": round(added[OURS], 2),
        "goal": goal,
        "better": "lower",
        "peers": {f"{peer}, {name}": round(value, 2) for name, value in added.items() if name not in (OURS, PLAIN)},
        "spread": round((max(thirds) - min(thirds)) / 2 / max(abs(added[OURS]), GOAL_US), 3),
        "command": COMMAND,
    }


def _round_trips(make: Callable[[str, str], tuple[Transaction, Close]], port: int, candidate: str) -> int:
    """How often the client waits for the server in one transaction, once its caches are warm."""
    with WireTap(port) as tap:
        transaction, close = make(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres", candidate)
        for _ in range(10):
            _once(transaction)
        tap.conversation.clear()
        _once(transaction)
        trips = tap.conversation.round_trips
        close()
    return trips


def _round_trips_row(driver: str, port: int) -> BenchRow:
    peer, make = DRIVERS[driver]
    trips = {candidate: [float(_round_trips(make, port, candidate))] * 3 for candidate in _candidates(driver)}
    return {**_row(f"{_name(driver)}: round trips", "added to a transaction", trips, 0, peer), "spread": 0.0}


def _time_row(driver: str, dsn: str, what: str, goal: float | None, which: int) -> BenchRow:
    peer, make = DRIVERS[driver]
    measured = _measure({candidate: partial(make, dsn, candidate) for candidate in _candidates(driver)})
    taken = {candidate: [times[which] for times in each] for candidate, each in measured.items()}
    return _row(f"{_name(driver)}: {what}", "us added to a transaction", taken, goal, peer)


def _name(driver: str) -> str:
    return f"id to the database, {driver}"


def _candidates(driver: str) -> tuple[str, ...]:
    return CANDIDATES_OF_ENGINES if driver.startswith("SQLAlchemy") else CANDIDATES_OF_DRIVERS


@contextmanager
def _on(processor: int) -> Iterator[None]:
    """Keep this process, and those that it starts, on one processor."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def _awake(processors: set[int]) -> Iterator[None]:
    """Keep the processors from sleeping."""
    processes = [
        multiprocessing.get_context("fork").Process(target=_idle, args=(each,), daemon=True) for each in processors
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _idle(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


def _time_rows(driver: str, dsn: str, where: str = "") -> list[BenchRow]:
    processors = os.sched_getaffinity(0)
    clients, servers = min(processors), max(processors)
    with _awake(processors), _on(clients):
        of_client = _time_row(driver, dsn, f"the client's time{where}", GOAL_US, 0)
    with _on(servers):
        return [of_client, _time_row(driver, dsn, f"client and server{where}", None, 1)]


def _server(directory: Path, **settings: str | int) -> Postgres:
    with _on(max(os.sched_getaffinity(0))):
        most = 2 * PROCESSES * len(CANDIDATES_OF_DRIVERS)
        return Postgres(directory, settings={"max_connections": most, **settings})


def rows() -> list[BenchRow]:
    """Measure on private servers; some minutes."""
    found: list[BenchRow] = []
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        metrics.open_segment(directory=directory)
        server = stack.enter_context(_server(Path(directory) / "server"))
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        for driver in DRIVERS:
            found += [_round_trips_row(driver, server.port), *_time_rows(driver, server.dsn())]
        without = stack.enter_context(_server(Path(directory) / "without", shared_preload_libraries=""))
        found += _time_rows("psycopg", without.dsn(), " without the extension")
    return found


if __name__ == "__main__":
    write("database", rows())
