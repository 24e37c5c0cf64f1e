"""What the ids leave in pg_stat_statements on a server without the extension pg_stat_requests."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, text

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from tests.pyext.database.database import KINDS, Database

IDS = ("first", "second", "third")
NORMALISED_SINCE = 180000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    with Postgres(tmp_path_factory.mktemp("pg_stat_statements") / "server", settings=settings) as server:
        with server.connect() as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
        yield server


@pytest.fixture
def admin(server: Postgres) -> Iterator[psycopg.Connection]:
    """Looks at the entries, of which there are none yet."""
    with server.connect() as admin:
        admin.execute("SELECT pg_stat_statements_reset()")
        yield admin


@pytest.fixture(params=KINDS)
def watched(request: pytest.FixtureRequest, server: Postgres) -> Iterator[Database]:
    database = Database(request.param, server.port)
    yield database
    database.close()


def entries(admin: psycopg.Connection, beginning: str) -> list[int]:
    """The calls of each entry whose text begins so, comments apart."""
    found = admin.execute(
        r"SELECT calls FROM pg_stat_statements WHERE regexp_replace(query, '^/\*.*?\*/ ', '') LIKE %s",
        [f"{beginning}%"],
    )
    return [calls for (calls,) in found]


def select(connection: Connection) -> None:
    connection.execute(text("SELECT 'of the application'"))


def of_each_id(admin: psycopg.Connection) -> list[int]:
    return [1] * len(IDS) if admin.info.server_version < NORMALISED_SINCE else [len(IDS)]


@pytest.mark.parametrize(
    ("mode", "setting"), [("guc", "pg_stat_requests.request_id"), ("application_name", "application_name")]
)
def test_before_postgresql_18_each_id_that_is_set_makes_an_entry(
    watched: Database, admin: psycopg.Connection, mode: str, setting: str
) -> None:
    reqtrail.sqlalchemy.install(watched.engine, mode=mode)
    for request_id in IDS:
        watched.begin(select, request_id)
    assert entries(admin, f"SET LOCAL {setting}") == of_each_id(admin)
    assert entries(admin, "SELECT $1") == [len(IDS)]


def test_an_id_in_a_comment_makes_none(watched: Database, admin: psycopg.Connection) -> None:
    reqtrail.sqlalchemy.install(watched.engine, mode="comment")
    for request_id in IDS:
        watched.begin(select, request_id)
    assert entries(admin, "SELECT $1") == [len(IDS)]
    assert entries(admin, "SET LOCAL") == []


def test_without_track_utility_no_id_makes_one(watched: Database, admin: psycopg.Connection) -> None:
    reqtrail.sqlalchemy.install(watched.engine)
    admin.execute("ALTER ROLE postgres SET pg_stat_statements.track_utility = off")
    try:
        for request_id in IDS:
            watched.begin(select, request_id)
        assert entries(admin, "SELECT $1") == [len(IDS)]
        assert entries(admin, "SET LOCAL") == []
    finally:
        admin.execute("ALTER ROLE postgres RESET pg_stat_statements.track_utility")
