"""Many clients share few connections of a PgBouncer in transaction mode: no id ever reaches another's transaction."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pytest

from devstack.pgbouncer import PgBouncer
from devstack.postgres import Postgres
from reqtrail import reset_request_id, set_request_id
from tests.pyext.database.pgbouncer_clients import CLIENTS, Client, SqlalchemyAsyncpg

ON_THE_OLDEST = tuple(made for made in CLIENTS if made is not SqlalchemyAsyncpg)


def run_of(makes: tuple[type[Client], ...], mode: str, name: str) -> Any:
    # The oldest SQLAlchemy cannot give each of asyncpg's prepared statements a name of its own, as PgBouncer needs.
    marks = [pytest.mark.newer_drivers] * (SqlalchemyAsyncpg in makes)
    return pytest.param(makes, mode, marks=marks, id=name)


def runs_of_each(mode: str) -> list[Any]:
    return [run_of((made,), mode, made.__name__) for made in CLIENTS]


CLIENTS_AT_ONCE = 8
TRANSACTIONS = 2000
SEEN = {
    "guc": "SELECT current_setting('pg_stat_requests.request_id', true)",
    "both": "SELECT current_setting('pg_stat_requests.request_id', true)",
    "application_name": "SELECT current_setting('application_name')",
}


@dataclass
class Transaction:
    """What one transaction is to do, all of it following from its number."""

    number: int

    @property
    def request_id(self) -> str | None:
        return None if self.number % 4 == 3 else f"request-{self.number}"

    @property
    def statements(self) -> int:
        return 1 + self.number % 3

    @property
    def goes_back_to_a_savepoint(self) -> bool:
        return self.number % 6 == 0

    @property
    def fails(self) -> bool:
        return self.number % 7 == 0

    @property
    def rolls_back(self) -> bool:
        return self.fails or self.number % 5 == 0

    @property
    def row(self) -> tuple[object, ...]:
        """Its row in pg_stat_requests: request_id, transactions, rollbacks, statements, errors."""
        return self.request_id, 1, int(self.rolls_back), self.statements + self.fails, int(self.fails)

    async def run(self, client: Client, see: str) -> list[str | None]:
        """Which id the server had at each of its statements."""
        await client.begin()
        if self.goes_back_to_a_savepoint:
            await client.value("SAVEPOINT here")
        seen = [await client.value(see) or None for _ in range(self.statements)]
        if self.goes_back_to_a_savepoint:
            await client.value("ROLLBACK TO here")
        if self.fails:
            with pytest.raises(Exception, match="division by zero"):
                await client.value("SELECT 1/(a - a) FROM (SELECT random()::int AS a) AS one")
        await (client.rollback if self.rolls_back else client.commit)()
        return seen


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "server") as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        yield running
        assert running.fatal_log_lines() == []


@pytest.fixture(scope="module")
def bouncer(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer") / "files", server.port) as running:
        yield running


async def run_all(makes: tuple[type[Client], ...], port: int, mode: str) -> list[tuple[str | None, list[str | None]]]:
    """Run the transactions on clients that take turns as they come, and return each one's id and what it saw.

    The clients are of the kinds in `makes`, in turn.
    """
    due = iter(range(TRANSACTIONS))
    outcomes: list[tuple[str | None, list[str | None]]] = []

    async def one_client(make: type[Client]) -> None:
        client = make(port, mode)
        await client.open()
        await client.begin()
        await client.value("SELECT 1")  # what the engine asks for itself, at its first connection, belongs to nobody
        await client.rollback()
        for number in due:
            transaction = Transaction(number)
            token = set_request_id(transaction.request_id) if transaction.request_id else None
            outcomes.append((transaction.request_id, await transaction.run(client, SEEN[mode])))
            if token is not None:
                reset_request_id(token)
        await client.close()

    # With a thread for each: those that wait for a connection must not keep out those that have one.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CLIENTS_AT_ONCE))
    await asyncio.gather(*map(one_client, islice(cycle(makes), CLIENTS_AT_ONCE)))
    return outcomes


@pytest.mark.parametrize(
    ("makes", "mode"),
    [
        *runs_of_each("guc"),
        run_of(CLIENTS, "guc", "all of them"),
        run_of(CLIENTS, "both", "all of them, with comments"),
        run_of(ON_THE_OLDEST, "both", "all that the oldest drivers have, with comments"),
    ],
)
async def test_each_row_is_what_its_own_transaction_did(
    makes: tuple[type[Client], ...], mode: str, server: Postgres, bouncer: PgBouncer
) -> None:
    with server.connect() as admin:
        admin.execute("SELECT pg_stat_requests_reset()")
        outcomes = await run_all(makes, bouncer.port, mode)
        backends = admin.execute("SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE datname = 'postgres'")
        assert backends.fetchone() == (3 + 1,)
        found = admin.execute("SELECT request_id, transactions, rollbacks, statements, errors FROM pg_stat_requests")
        assert [outcome for outcome in outcomes if {*outcome[1]} != {outcome[0]}] == []
        assert {*found} == {Transaction(n).row for n in range(TRANSACTIONS) if Transaction(n).request_id}


@pytest.mark.parametrize(("makes", "mode"), runs_of_each("application_name"))
async def test_an_application_name_ends_with_the_transaction(
    makes: tuple[type[Client], ...], mode: str, bouncer: PgBouncer
) -> None:
    outcomes = await run_all(makes, bouncer.port, mode)
    assert [outcome for outcome in outcomes if {*outcome[1]} != {outcome[0]}] == []
