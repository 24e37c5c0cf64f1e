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

    async def execute(self: "asyncpg.Connection[Any]", query: str, *args: Any, timeout: float | None = None) -> str:
        if args or query not in _BEGINS or (statement := rider.statement()) is None:
            return await plain(self, query, *args, timeout=timeout)
        try:
            await plain(self, f"{query} {statement}", timeout=timeout)
        except asyncpg.PostgresError as error:
            # A BEGIN that fails leaves no transaction behind, and neither may this one.
            if not self.is_closed() and self.is_in_transaction():
                await plain(self, "ROLLBACK;")
            if not rider.refused(error.sqlstate, error):
                raise
            return await plain(self, query, timeout=timeout)
        return "BEGIN"

    return {"execute": execute}


def ride(connection: "asyncpg.Connection[Any]", rider: BeginRider) -> None:
    """Let the statement of `rider` ride on each BEGIN that `connection` sends from here on.

    Changes the class of the connection to one that extends it. A connection that has a rider keeps it.
    """
    rider.board(connection, _overrides)
