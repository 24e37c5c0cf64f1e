from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres, servers
from tests.pg.requests_view import Connection

_known: dict[int, int] = {}  # by a server's place in servers(): how many fatal lines of it were seen


def _new_fatal_lines() -> list[str]:
    found: list[str] = []
    for place, running in enumerate(servers()):
        lines = running.fatal_log_lines()
        found += lines[_known.get(place, 0) :]
        _known[place] = len(lines)
    return found


@pytest.fixture
def crashes() -> None:
    """Asked for by a test that crashes its server on purpose."""


@pytest.fixture(autouse=True)
def no_server_crashed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, no server's log tells of a crash, a PANIC or a sanitizer's finding."""
    yield
    found = _new_fatal_lines()
    if "crashes" in request.fixturenames:
        found = [line for line in found if "terminated by signal" not in line]
    assert found == []


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
        assert _new_fatal_lines() == []


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
