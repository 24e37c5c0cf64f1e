from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.postgres import Postgres
from reqtrail import reset_request_id, set_request_id
from tests.own_metrics import segment_of_the_tests
from tests.pyext.database.counted_pool import Make, Pool
from tests.pyext.database.database import KINDS, Database
from tests.pyext.database.wire_tap import WireTap

__all__ = ["segment_of_the_tests"]


@pytest.fixture(scope="session")
def plain_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server without the extension: there the setting is a placeholder, and everything must work the same."""
    directory: Path = tmp_path_factory.mktemp("plain_postgres")
    with Postgres(directory / "server", settings={"shared_preload_libraries": ""}) as server:
        yield server
        assert server.fatal_log_lines() == []


@pytest.fixture
def tap(plain_postgres: Postgres) -> Iterator[WireTap]:
    with WireTap(plain_postgres.port) as wire_tap:
        yield wire_tap


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tap: WireTap) -> Iterator[Database]:
    """An engine with one connection, whose conversation with the server the fixture `tap` keeps; nothing installed."""
    database = Database(request.param, tap.port)
    yield database
    database.close()


@pytest.fixture
def works_for_abc() -> Iterator[None]:
    """The request id is abc."""
    token = set_request_id("abc")
    yield
    reset_request_id(token)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, plain_postgres: Postgres) -> Iterator[Make]:
    """Makes pools, each counted under a name that no other test has."""
    made: list[Pool] = []

    def make(**options: Any) -> Pool:
        pool = Pool(request.param, plain_postgres.port, f"{request.node.name}-{len(made)}", **options)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.database.close()
        assert pool.states == (0, 0)
        assert (pool.waiting, pool.overflow) == (0, 0)
