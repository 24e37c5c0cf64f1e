"""The role that exporter_user.sql makes: what it sees, what it cannot do, and the view that it brings."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY, bindir
from tests.monitoring.dashboards.watched_application import EXPORTER_USER_SQL, SETTINGS
from tests.waiting import wait_for

DOCUMENT = (REPOSITORY / "docs" / "monitoring.md").read_text()
DATABASE = "shop"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("exporter") / "postgres", settings=SETTINGS) as running:
        with running.connect() as admin:
            admin.execute(f"CREATE DATABASE {DATABASE}")
        with running.connect(DATABASE) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_requests")
            admin.execute("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM PUBLIC")
            for _ in range(2):  # it may be run again
                admin.execute(EXPORTER_USER_SQL.read_bytes())
            admin.execute("CREATE TABLE orders (id integer, note text)")
            admin.execute("CREATE ROLE clerk LOGIN")
        yield running
        assert running.fatal_log_lines() == []


@pytest.fixture
def reader(server: Postgres) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with server.connect(DATABASE, "exporter_user") as connection:
        yield connection


def test_it_sees_the_requests_of_everybody(server: Postgres, reader: psycopg.Connection[tuple[object, ...]]) -> None:
    with server.connect(DATABASE, "clerk", autocommit=False) as clerk:
        clerk.execute("SET LOCAL pg_stat_requests.request_id = 'a-clerk-s'")
        clerk.execute("SELECT 1")
        in_flight = reader.execute("SELECT request_id FROM pg_stat_requests_activity").fetchall()
        clerk.commit()
    assert in_flight == [("a-clerk-s",)]
    assert reader.execute("SELECT request_id FROM pg_stat_requests WHERE \"user\" = 'clerk'").fetchall() == in_flight


def test_its_schema_and_view_belong_to_the_administrator_whoever_made_them(server: Postgres) -> None:
    database = "squatted"
    with server.connect() as admin:
        admin.execute(f"CREATE DATABASE {database}")
        admin.execute("CREATE ROLE squatter LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE {database} TO squatter")
    with server.connect(database) as admin, server.connect(database, "squatter") as squatter:
        squatter.execute("CREATE SCHEMA reqtrail")
        squatter.execute(
            "CREATE VIEW reqtrail.table_bloat AS SELECT NULL::name AS schema, NULL::name AS table, 0::bigint AS size,"
            " 0::bigint AS bloat, 0::float8 AS bloat_ratio"
        )
        admin.execute(EXPORTER_USER_SQL.read_bytes())
        for change in ("DROP VIEW reqtrail.table_bloat", "CREATE OR REPLACE VIEW reqtrail.table_bloat AS SELECT 1"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                squatter.execute(change)
        assert admin.execute("SELECT count(*) FROM reqtrail.table_bloat").fetchone() is not None


def test_the_owner_of_a_view_of_that_name_cannot_put_a_query_into_it_before_it_changes_hands(server: Postgres) -> None:
    database = "raced"
    view = "CREATE OR REPLACE VIEW reqtrail.table_bloat AS SELECT {}::name AS schema, NULL::name AS table,"
    view += " 0::bigint AS size, 0::bigint AS bloat, 0::float8 AS bloat_ratio"
    with server.connect() as admin:
        admin.execute(f"CREATE DATABASE {database}")
        admin.execute("CREATE ROLE racer LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE {database} TO racer")

    def waiting_for_a_lock(sessions: int) -> bool:
        with server.connect() as admin:
            ((found,),) = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s", (database,)
            ).fetchall()
        return bool(found == sessions)

    def replace() -> None:
        with server.connect(database, "racer") as racer:
            racer.execute(view.format("'theirs'").encode())

    def run_script() -> None:
        psql: list[str | Path] = [
            bindir() / "psql",
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            str(server.port),
        ]
        subprocess.run([*psql, "-U", "postgres", "-f", EXPORTER_USER_SQL, database], check=True, timeout=60)

    with server.connect(database, "racer", autocommit=False) as owner, ThreadPoolExecutor() as threads:
        owner.execute("CREATE SCHEMA reqtrail")
        owner.execute("GRANT ALL ON SCHEMA reqtrail TO PUBLIC")
        owner.execute(view.format("NULL").encode())
        owner.commit()
        owner.execute(view.format("NULL").encode())  # and holds its lock
        script = threads.submit(run_script)
        wait_for(lambda: waiting_for_a_lock(1))
        replaced = threads.submit(replace)
        wait_for(lambda: waiting_for_a_lock(2))
        owner.commit()
        script.result()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            replaced.result()


def test_it_sees_texts_of_statements_of_everybody(
    server: Postgres, reader: psycopg.Connection[tuple[object, ...]]
) -> None:
    with server.connect(DATABASE, "clerk") as clerk:
        clerk.execute("SELECT 'of the clerk' AS text")
    [text] = reader.execute("SELECT query FROM pg_stat_statements WHERE query LIKE '%AS text'").fetchall()
    assert text == ("SELECT $1 AS text",)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT * FROM orders", psycopg.errors.InsufficientPrivilege),
        ("SELECT * FROM pg_statistic", psycopg.errors.InsufficientPrivilege),
        ("SELECT pg_stat_requests_reset()", psycopg.errors.InsufficientPrivilege),
        ("SELECT pg_stat_statements_reset()", psycopg.errors.InsufficientPrivilege),
        ("CREATE TABLE mine ()", psycopg.errors.ReadOnlySqlTransaction),
        ("CREATE SCHEMA mine", psycopg.errors.ReadOnlySqlTransaction),
        ("CREATE TEMP TABLE mine ()", psycopg.errors.ReadOnlySqlTransaction),
    ],
)
def test_it_cannot(reader: psycopg.Connection[tuple[object, ...]], statement: str, error: type[psycopg.Error]) -> None:
    with pytest.raises(error):
        reader.execute(statement.encode())


def test_it_waits_for_nobody_s_lock(server: Postgres, reader: psycopg.Connection[tuple[object, ...]]) -> None:
    with server.connect(DATABASE, autocommit=False) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reader.execute("SELECT pg_total_relation_size('orders')")


def test_bloat_is_what_deleted_rows_left_behind(
    server: Postgres, reader: psycopg.Connection[tuple[object, ...]]
) -> None:
    def ratio() -> float:
        found = reader.execute("SELECT bloat_ratio FROM reqtrail.table_bloat WHERE \"table\" = 'parcels'").fetchone()
        assert found is not None
        return float(str(found[0]))

    with server.connect(DATABASE) as admin:
        admin.execute("CREATE TABLE parcels (id integer, note text) WITH (autovacuum_enabled = off)")
        admin.execute("INSERT INTO parcels SELECT n, repeat('x', n % 200) FROM generate_series(1, 50000) n")
        admin.execute("ANALYZE parcels")
        assert ratio() < 0.1
        admin.execute("DELETE FROM parcels WHERE id % 4 <> 0")
        admin.execute("VACUUM (TRUNCATE off) parcels")
        admin.execute("ANALYZE parcels")
        assert 0.65 < ratio() < 0.85
        admin.execute("VACUUM (FULL, ANALYZE) parcels")
        assert ratio() < 0.1


def test_the_migration_in_the_documentation_makes_and_removes_it(server: Postgres, tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(\"\"\"Make the role.*?)```", DOCUMENT, re.DOTALL)
    with server.connect() as admin:
        admin.execute("CREATE DATABASE migrated")
    engine = create_engine(server.dsn("migrated").replace("postgresql:", "postgresql+psycopg:"))
    shutil.copy(EXPORTER_USER_SQL, tmp_path)
    migration: dict[str, object] = {"__file__": str(tmp_path / "1_exporter_user.py")}
    exec(code, migration)  # the document's own code
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        migration["upgrade"]()  # type: ignore[operator]  # the document defines it
        schemas = connection.exec_driver_sql("SELECT nspname FROM pg_namespace WHERE nspname = 'reqtrail'").all()
        assert schemas == [("reqtrail",)]
        migration["downgrade"]()  # type: ignore[operator]  # the document defines it
        assert not connection.exec_driver_sql("SELECT 1 FROM pg_namespace WHERE nspname = 'reqtrail'").all()
    engine.dispose()
