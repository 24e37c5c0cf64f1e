from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import Connection


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("pg") / "server") as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            connection.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
            connection.execute("INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 1000) g")
            connection.execute("GRANT SELECT ON item TO PUBLIC")
            for role in ("alice", "bob"):
                connection.execute(f"CREATE ROLE {role} LOGIN")
        yield running
        running.stop()
        assert running.fatal_log_lines() == []


@pytest.fixture
def admin(server: Postgres) -> Iterator[Connection]:
    """A superuser's session that looks, with nothing recorded yet."""
    with server.connect() as connection:
        connection.execute("SELECT pg_stat_requests_reset()")
        yield connection


@pytest.fixture
def session(server: Postgres, admin: Connection) -> Iterator[Connection]:
    """A session of the application (autocommit: transactions are begun by the test)."""
    with server.connect() as connection:
        yield connection
