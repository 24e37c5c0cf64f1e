"""The request id on the BEGIN of a psycopg 3 connection, in the same message."""

from collections.abc import Callable, Generator
from typing import Any

from psycopg import AsyncConnection, Connection, errors, generators
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus

from reqtrail.begin import BeginRider

__all__ = ["ride"]

_Conversation = Generator[Any, Any, Any]


def _overrides(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    # Sync and async connections share psycopg's protocol generators, of which this is the one for its own commands.
    plain: Callable[..., _Conversation] = base._exec_command

    def begin(self: Any, command: bytes, statement: bytes) -> _Conversation:
        if self._pipeline:
            # The extended protocol takes one statement a message; queued behind each other they share the round trip.
            yield from plain(self, command)
            yield from plain(self, statement)
            return None
        self._check_connection_ok()
        self.pgconn.send_query(command + b"; " + statement)
        results = yield from generators.execute(self.pgconn)
        if results[-1].status == ExecStatus.COMMAND_OK:
            return results[0]
        error = errors.error_from_result(results[-1], encoding=self.info.encoding)
        if self.pgconn.status != ConnStatus.OK or rider.connection_is_lost(error.sqlstate):
            raise error
        # A plain BEGIN hardly ever fails, and applications are not prepared for one that does.
        rider.failed(error.sqlstate, error)
        if self.pgconn.transaction_status == TransactionStatus.INERROR:
            yield from plain(self, b"ROLLBACK")
        return (yield from plain(self, command))

    def exec_command(self: Any, command: Any, result_format: Format = Format.TEXT) -> _Conversation:
        # The very object that psycopg keeps for its own BEGIN: no command of an application is it.
        if command is self._begin_statement and command and (statement := rider.statement()) is not None:
            return begin(self, command, statement.encode("ascii"))
        return plain(self, command, result_format)

    return {"_exec_command": exec_command}


def ride(connection: "Connection[Any] | AsyncConnection[Any]", rider: BeginRider) -> None:
    """Let the statement of `rider` ride on each BEGIN that `connection` sends from here on.

    Changes the class of the connection to one that extends it. A connection that has a rider keeps it.
    """
    if not hasattr(connection, "_begin_statement"):
        rider.stop(f"psycopg changed: {type(connection).__name__} has no _begin_statement any more")
        return
    rider.board(connection, _overrides)
