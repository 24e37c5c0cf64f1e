"""A private PgBouncer in transaction mode."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from devstack.process import ServerProcess, accepts_connections, free_port
from devstack.unprivileged import make_reachable, remove, server_user


class PgBouncer:
    """A PgBouncer on a free port of 127.0.0.1 that lends connections of user `postgres` for one transaction each."""

    def __init__(self, directory: Path, server_port: int, *, server_connections: int = 3) -> None:
        """Start it and wait until it takes connections.

        Args:
            directory: Where its files go; it is replaced.
            server_port: Where PostgreSQL listens on 127.0.0.1.
            server_connections: How many connections to PostgreSQL the clients of a database share.

        Raises:
            ServerError: It did not start; the message carries the end of its log.
        """
        self._given = directory
        reachable = make_reachable(directory)
        self.port = free_port()
        configuration = reachable / "pgbouncer.ini"
        configuration.write_text(self._configuration(reachable / "users.txt", server_port, server_connections))
        (reachable / "users.txt").write_text('"postgres" ""\n')
        self.process = ServerProcess(
            ["pgbouncer", configuration], log=reachable / "pgbouncer.log", user=server_user(), cwd=Path("/")
        )
        self.process.await_ready(lambda: accepts_connections(self.port), "pgbouncer")

    def _configuration(self, users: Path, server_port: int, server_connections: int) -> str:
        return f"""[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {server_connections}
ignore_startup_parameters = extra_float_digits, options
"""

    def stop(self) -> None:
        """Stop it at once, and delete its files."""
        self.process.stop()
        remove(self._given)

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
