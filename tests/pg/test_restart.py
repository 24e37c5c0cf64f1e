"""What survives a restart, what does not, and what a damaged file does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import Connection, Row, counts, info, read, tagged

SAVED = Path("pg_stat/pg_stat_requests.stat")
DAMAGED = Path("pg_stat/pg_stat_requests.stat.damaged")
VIEWS = ("", "_statements", "_errors", "_slow")


def everything(connection: Connection) -> dict[str, list[Row]]:
    return {view: read(connection, f"SELECT * FROM pg_stat_requests{view} AS v ORDER BY v") for view in VIEWS}


DEFAULTS: dict[str, str | int] = {
    "pg_stat_requests.slow_statement_threshold": "20ms",
    "pg_stat_requests.save": "on",
    "pg_stat_requests.max": 25000,
    "pg_stat_requests.max_errors": 1000,
}


def restart(server: Postgres) -> None:
    server.stop()
    server.start()


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("restart") / "server", settings=DEFAULTS) as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        yield running


@pytest.fixture
def server(one_server: Postgres) -> Postgres:
    """A server with ordinary, slow and failed requests in it. Tests may configure it, and must leave it running."""
    one_server.configure(DEFAULTS)
    restart(one_server)
    with one_server.connect() as connection:
        connection.execute("SELECT pg_stat_requests_reset()")
        for number in range(20):
            with tagged(connection, f"id-{number}"):
                connection.execute("SELECT 1")
                connection.execute("SELECT 2")
        with tagged(connection, "slow"):
            connection.execute("SELECT pg_sleep(0.03) AS langsam_für_ä")
        with pytest.raises(psycopg.errors.DivisionByZero), tagged(connection, "failed"):
            connection.execute("SELECT 1 / 0")
        with tagged(connection, "not good"):
            pass
    return one_server


def test_a_clean_restart_keeps_everything(server: Postgres) -> None:
    with server.connect() as connection:
        before, told = everything(connection), info(connection)
        assert [len(before[view]) for view in VIEWS] == [22, 41, 1, 1]
    server.stop()
    assert (server.data / SAVED).exists()
    server.start()
    with server.connect() as connection:
        assert everything(connection) == before
        after = info(connection)
        for column in ("used", "merged", "overwritten", "ignored_ids", "stats_reset", "complete_since", "errors_used"):
            assert after[column] == told[column], column
        with tagged(connection, "id-7"):
            connection.execute("SELECT 3")
        assert counts(connection, "id-7") == (2, 0, 3, 0)
    # While the server runs, no backup and no standby finds a file.
    assert not (server.data / SAVED).exists()


def test_what_was_lost_before_a_restart_stays_known(server: Postgres) -> None:
    server.configure({"pg_stat_requests.max": 128, "pg_stat_requests.max_errors": 128})
    restart(server)
    with server.connect() as connection:
        connection.execute("SELECT pg_stat_requests_reset()")
        for number in range(200):
            with pytest.raises(psycopg.errors.DivisionByZero), tagged(connection, f"id-{number}"):
                connection.execute("SELECT 1 / 0")
        before, told = everything(connection), info(connection)
        assert (told["overwritten"], told["notable_used"], told["errors_overwritten"]) == (0, 72, 72)
    restart(server)
    with server.connect() as connection:
        assert everything(connection) == before
        after = info(connection)
    for column in ("complete_since", "errors_overwritten", "errors_complete_since", "notable_complete_since"):
        assert after[column] == told[column], column


def test_a_server_with_less_room_keeps_what_came_last(server: Postgres) -> None:
    with server.connect() as connection:
        for number in range(200):
            with tagged(connection, f"more-{number}"):
                connection.execute("SELECT 1")
    server.configure({"pg_stat_requests.max": 128})
    restart(server)
    with server.connect() as connection:
        told = info(connection)
        assert (told["capacity"], told["used"]) == (128, 128)
        assert told["overwritten"] == 222 - 128 - told["notable_used"]
        assert counts(connection, "failed") == (1, 1, 1, 1)


@pytest.mark.parametrize("save", ["on", "off"])
def test_the_setting_says_whether_it_is_saved(server: Postgres, save: str) -> None:
    server.configure({"pg_stat_requests.save": save})
    restart(server)
    restart(server)
    with server.connect() as connection:
        assert bool(read(connection, "SELECT * FROM pg_stat_requests")) == (save == "on")
        assert not (server.data / SAVED).exists()


def damage_magic(content: bytearray) -> bytes:
    content[0] ^= 0xFF
    return bytes(content)


def damage_middle(content: bytearray) -> bytes:
    content[len(content) // 2] ^= 0x01
    return bytes(content)


DAMAGES: dict[str, Callable[[bytearray], bytes]] = {
    "it is not a file of pg_stat_requests": damage_magic,
    "another version of pg_stat_requests wrote it": lambda content: bytes(content[:8] + b"\x99" + content[9:]),
    "it is cut off": lambda content: bytes(content[:-100]),
    "there is more behind its end": lambda content: bytes(content + b"x"),
    "": damage_middle,
    "it is cut off ": lambda content: b"",
}


@pytest.mark.parametrize("fault", DAMAGES)
def test_a_damaged_file_is_set_aside_with_a_warning(server: Postgres, fault: str) -> None:
    server.stop()
    path = server.data / SAVED
    content = DAMAGES[fault](bytearray(path.read_bytes()))
    path.write_bytes(content)
    server.start()
    with server.connect() as connection:
        assert everything(connection) == {view: [] for view in VIEWS}
        told = info(connection)
        assert (told["used"], told["merged"], told["ignored_ids"], told["complete_since"]) == (
            0,
            0,
            0,
            told["stats_reset"],
        )
        with tagged(connection, "after"):
            connection.execute("SELECT 1")
        assert counts(connection, "after") == (1, 0, 1, 0)
    log = server.log.read_text()
    assert "WARNING:  statistics of pg_stat_requests could not be restored" in log
    assert f'"{SAVED}" is damaged: {fault.strip()}' in log
    assert f'It was renamed to "{DAMAGED}"' in log
    assert (server.data / DAMAGED).read_bytes() == content
    assert not path.exists()


def test_a_folder_that_cannot_be_written_stops_nothing(server: Postgres) -> None:
    server.stop()
    (server.data / SAVED).unlink()
    (server.data / SAVED.with_suffix(".stat.tmp")).mkdir()
    server.start()
    restart(server)
    with server.connect() as connection:
        assert read(connection, "SELECT * FROM pg_stat_requests") == []
    (server.data / SAVED.with_suffix(".stat.tmp")).rmdir()
    assert 'could not create file "pg_stat/pg_stat_requests.stat.tmp"' in server.log.read_text()
