"""The request id on the BEGIN of an asyncpg connection, in the same message."""

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg

from reqtrail.begin import BeginRider

__all__ = ["ride"]

# Every text with which asyncpg's Transaction starts one. An application's own scripts are left as they are.
_BEGINS = frozenset(
    f"BEGIN{isolation}{readonly}{deferrable};"
    for isolation, readonly, deferrable in itertools.product(
        (
            "",
            " ISOLATION LEVEL READ UNCOMMITTED",
            " ISOLATION LEVEL READ COMMITTED",
            " ISOLATION LEVEL REPEATABLE READ",
            " ISOLATION LEVEL SERIALIZABLE",
        ),
        ("", " READ ONLY"),
        ("", " DEFERRABLE"),
    )
)


def _overrides(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    plain: Callable[..., Coroutine[Any, Any, str]] = base.execute

    async def execute(self: asyncpg.Connection, query: str, *args: Any, timeout: float | None = None) -> str:
        if args or query not in _BEGINS or (statement := rider.statement()) is None:
            return await plain(self, query, *args, timeout=timeout)
        try:
            await plain(self, f"{query} {statement}", timeout=timeout)
        except asyncpg.PostgresError as error:
            if self.is_closed() or rider.connection_is_lost(error.sqlstate):
                raise
            # A plain BEGIN hardly ever fails, and asyncpg is not prepared for one that does.
            rider.failed(error.sqlstate, error)
            if self.is_in_transaction():
                await plain(self, "ROLLBACK;")
            return await plain(self, query, timeout=timeout)
        return "BEGIN"

    return {"execute": execute}


def ride(connection: asyncpg.Connection, rider: BeginRider) -> None:
    """Let the statement of `rider` ride on each BEGIN that `connection` sends from here on.

    Changes the class of the connection to one that extends it. A connection that has a rider keeps it.
    """
    rider.board(connection, _overrides)
