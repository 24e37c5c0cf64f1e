"""The ring: its size, what gives way, what the info view says of it, and reset."""

from collections.abc import Iterator

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, info, read, row, rows, tagged

CAPACITY = 130


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    directory = tmp_path_factory.mktemp("ring") / "server"
    with Postgres(directory, settings={"pg_stat_requests.max": CAPACITY}) as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        yield running
        running.stop()
        assert running.fatal_log_lines() == []


@pytest.fixture
def small(small_server: Postgres) -> Iterator[Connection]:
    with small_server.connect() as connection:
        connection.execute("SELECT pg_stat_requests_reset()")
        yield connection


def record(connection: Connection, request_ids: list[str]) -> None:
    with connection.pipeline():
        for request_id in request_ids:
            connection.execute("BEGIN")
            connection.execute(SET_ID, (request_id,))
            connection.execute("SELECT 1")
            connection.execute("COMMIT")


def test_it_holds_as_many_rows_as_the_setting_says_and_no_more(small: Connection) -> None:
    record(small, [f"id-{number}" for number in range(1000)])
    state = info(small)
    assert state["capacity"] == CAPACITY
    assert state["used"] == CAPACITY
    assert state["overwritten"] == 1000 - CAPACITY
    assert state["merged"] == 0
    assert len(read(small, "SELECT * FROM pg_stat_requests")) == CAPACITY


def test_the_last_rows_are_there_and_the_first_are_not(small: Connection) -> None:
    record(small, [f"id-{number}" for number in range(1000)])
    for number in range(980, 1000):
        assert row(small, f"id-{number}")["statements"] == 1
    for number in range(20):
        assert rows(small, f"id-{number}") == []


def test_each_row_is_exact_after_much_churn(small: Connection) -> None:
    ids = [f"id-{number * 7919 % 300}" for number in range(3000)]
    record(small, ids)
    state = info(small)
    held = read(small, "SELECT * FROM pg_stat_requests")
    assert len(held) == len({found["request_id"] for found in held}) == CAPACITY
    assert state["merged"] + state["overwritten"] + state["used"] == 3000
    for found in held:
        assert found["transactions"] == found["statements"] == found["rows"] <= ids.count(found["request_id"])


def test_info_tells_since_when_nothing_is_lost(small: Connection) -> None:
    record(small, ["early"])
    early = row(small, "early")["last_seen"]
    untouched = info(small)
    assert untouched["complete_since"] == untouched["stats_reset"] < early
    assert untouched["oldest_retained"] == early
    record(small, [f"id-{number}" for number in range(1000)])
    (retained,) = read(small, "SELECT min(last_seen) AS oldest FROM pg_stat_requests")
    full = info(small)
    assert early < full["oldest_retained"] == retained["oldest"]
    assert early <= full["complete_since"] < row(small, "id-999")["last_seen"]


def test_a_request_that_goes_on_outlives_those_that_came_after_it(small: Connection) -> None:
    for number in range(40):
        record(small, ["busy", *(f"id-{number}-{other}" for other in range(20))])
    assert row(small, "busy")["transactions"] == 40


def test_reset_forgets_everything_and_says_when(small: Connection) -> None:
    record(small, ["x", "x"])
    with tagged(small, "not an id"):
        pass
    before = info(small)
    assert (before["used"], before["merged"], before["ignored_ids"]) == (1, 1, 1)
    small.execute("SELECT pg_stat_requests_reset()")
    after = info(small)
    assert (after["used"], after["merged"], after["overwritten"], after["ignored_ids"]) == (0, 0, 0, 0)
    assert after["stats_reset"] > before["stats_reset"]
    assert after["oldest_retained"] is None
    assert rows(small, "x") == []


def test_memory_stays_as_it_is(small: Connection) -> None:
    before = info(small)["memory_bytes"]
    record(small, [f"id-{number}" for number in range(2000)])
    assert info(small)["memory_bytes"] == before
    (allocated,) = read(small, "SELECT size FROM pg_shmem_allocations WHERE name = 'pg_stat_requests'")
    assert allocated["size"] == before


@pytest.fixture(scope="module")
def notable_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    settings: dict[str, str | int] = {
        "pg_stat_requests.max": CAPACITY,
        "pg_stat_requests.max_notable": 128,
        "pg_stat_requests.notable_duration": "20ms",
    }
    with Postgres(tmp_path_factory.mktemp("notable") / "server", settings=settings) as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        yield running


@pytest.fixture
def notable(notable_server: Postgres) -> Iterator[Connection]:
    with notable_server.connect() as connection:
        connection.execute("SELECT pg_stat_requests_reset()")
        yield connection


def fail(connection: Connection, request_id: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn), tagged(connection, request_id):
        connection.execute("SELECT nothing")


def test_requests_with_errors_or_a_long_duration_outlive_the_others(notable: Connection) -> None:
    fail(notable, "failed")
    with tagged(notable, "slow"):
        notable.execute("SELECT pg_sleep(0.03)")
    record(notable, ["ordinary", *(f"id-{number}" for number in range(1000))])
    assert rows(notable, "ordinary") == []
    assert row(notable, "failed")["last_sqlstate"] == "42703"
    assert row(notable, "slow")["total_time"] >= 30
    told = info(notable)
    assert (told["used"], told["notable_used"], told["notable_capacity"]) == (CAPACITY, 2, 128)
    assert told["overwritten"] == 1003 - CAPACITY - 2
    assert told["notable_overwritten"] == 0
    assert told["notable_complete_since"] == told["stats_reset"] < told["complete_since"]
    # New work finds them where they are.
    record(notable, ["failed", "slow"])
    assert (row(notable, "failed")["transactions"], row(notable, "slow")["transactions"]) == (2, 2)
    assert info(notable)["notable_used"] == 2


def test_notable_requests_give_way_to_others_of_their_kind_and_info_says_so(notable: Connection) -> None:
    for number in range(400):
        fail(notable, f"failed-{number}")
    told = info(notable)
    assert (told["used"], told["overwritten"]) == (CAPACITY, 0)
    assert (told["notable_used"], told["notable_overwritten"]) == (128, 400 - CAPACITY - 128)
    assert row(notable, "failed-399")["errors"] == 1
    assert rows(notable, "failed-0") == []
    held = read(notable, "SELECT request_id, last_seen FROM pg_stat_requests ORDER BY last_seen")
    assert len(held) == CAPACITY + 128
    kept_since = [found for found in held if found["last_seen"] > told["notable_complete_since"]]
    first = int(kept_since[0]["request_id"].removeprefix("failed-"))
    assert {found["request_id"] for found in kept_since} == {f"failed-{number}" for number in range(first, 400)}


def test_reset_of_one_request_makes_room(notable: Connection) -> None:
    record(notable, [f"id-{number}" for number in range(40)])
    for number in range(0, 40, 2):
        notable.execute("SELECT pg_stat_requests_reset(%s)", (f"id-{number}",))
    assert info(notable)["used"] == 20
    assert [row(notable, f"id-{number}")["statements"] for number in range(1, 40, 2)] == [1] * 20
    record(notable, [f"new-{number}" for number in range(20)])
    for number in range(20):
        assert row(notable, f"new-{number}")["transactions"] == 1


def test_a_look_up_of_what_is_no_id_finds_nothing(small: Connection) -> None:
    record(small, ["x"])
    for what in ("", "no such", "X", "x" * 10_000, "ä"):
        assert rows(small, what) == []
    assert read(small, "SELECT * FROM pg_stat_requests(NULL)") == []


def test_the_size_is_fixed_at_server_start(small: Connection) -> None:
    with pytest.raises(psycopg.errors.CantChangeRuntimeParam):
        small.execute("SET pg_stat_requests.max = 1000")
