"""The settings: what is an id, what is not, and what happens without the preload."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, force_parallel, info, read, tagged

GOOD_IDS = ["x", "A-Z_a.z-09", "4f1c2b6e-8d0a-4f7e-9b1a-000000000001", "x" * 128]
BAD_IDS = {
    "a b": "character",
    "x" * 129: "longer than 128 bytes",
    "a'b": "character",
    "ä": "character",
    "a\nb": "character",
}


class Warned(NamedTuple):
    """One message of the server, copied before its result is freed."""

    severity: str | None
    sqlstate: str | None
    message: str | None
    detail: str
    hint: str


@pytest.fixture
def warnings(session: Connection) -> list[Warned]:
    """What the server warns the session of."""
    received: list[Warned] = []

    def keep(given: psycopg.errors.Diagnostic) -> None:
        detail, hint = given.message_detail or "", given.message_hint or ""
        received.append(Warned(given.severity, given.sqlstate, given.message_primary, detail, hint))

    session.add_notice_handler(keep)
    return received


@pytest.mark.parametrize("request_id", GOOD_IDS)
def test_an_id_is_taken_as_it_is(admin: Connection, session: Connection, request_id: str) -> None:
    with tagged(session, request_id):
        session.execute("SELECT 1")
    assert counts(admin, request_id) == (1, 0, 1, 0)


@pytest.mark.parametrize("request_id", BAD_IDS)
def test_a_bad_id_is_refused_with_the_reason_and_the_transaction_goes_on(
    admin: Connection, session: Connection, warnings: list[Warned], request_id: str
) -> None:
    with tagged(session, request_id):
        assert session.execute("SHOW pg_stat_requests.request_id").fetchone() == ("",)
    (warning,) = warnings
    assert warning.severity == "WARNING"
    assert warning.sqlstate == "22023"
    assert warning.message == "invalid request id ignored"
    assert BAD_IDS[request_id] in warning.detail
    assert request_id not in warning.detail
    assert "1 to 128" in warning.hint
    assert info(admin)["ignored_ids"] == 1
    assert read(admin, "SELECT * FROM pg_stat_requests") == []


def test_a_bad_id_takes_the_place_of_a_good_one(admin: Connection, session: Connection) -> None:
    with tagged(session, "good"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL pg_stat_requests.request_id = 'not good'")
        session.execute("SELECT 2")
    assert counts(admin, "good") == (1, 0, 1, 0)


def test_the_empty_id_is_none_and_no_mistake(admin: Connection, session: Connection, warnings: list[Warned]) -> None:
    with tagged(session, ""):
        session.execute("SELECT 1")
    assert warnings == []
    assert info(admin)["ignored_ids"] == 0


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SET pg_stat_requests.request_id = 'x'", "x"),
        ("SET pg_stat_requests.request_id TO plain", "plain"),
        ('SET SESSION "pg_stat_requests"."REQUEST_ID" = \'x\'', "x"),
        ("SET pg_stat_requests.request_id = 17", "17"),
        ("SET pg_stat_requests.request_id TO DEFAULT", ""),
        ("RESET pg_stat_requests.request_id", ""),
        ("SET LOCAL pg_stat_requests.request_id = 'x'", "before"),
    ],
)
def test_every_form_of_set_does_what_it_does_to_other_settings(
    session: Connection, warnings: list[Warned], statement: str, shown: str
) -> None:
    session.execute("SET pg_stat_requests.request_id = 'before'")
    assert session.execute(statement).statusmessage in ("SET", "RESET")
    assert session.execute("SHOW pg_stat_requests.request_id").fetchone() == (shown,)
    told = [warning.message for warning in warnings]
    assert told == (["SET LOCAL can only be used in transaction blocks"] if "LOCAL" in statement else [])


def test_a_set_is_undone_with_its_transaction_or_savepoint(session: Connection) -> None:
    def shown() -> object:
        return session.execute("SHOW pg_stat_requests.request_id").fetchone()

    session.execute("BEGIN")
    session.execute("SET pg_stat_requests.request_id = 'outer'")
    session.execute("SAVEPOINT s")
    session.execute("SET LOCAL pg_stat_requests.request_id = 'inner'")
    assert shown() == ("inner",)
    session.execute("ROLLBACK TO s")
    assert shown() == ("outer",)
    session.execute("ROLLBACK")
    assert shown() == ("",)


def test_another_setting_of_the_prefix_is_an_error(session: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidName):
        session.execute("SET pg_stat_requests.requestid = 'x'")


def test_a_bad_id_of_a_role_warns_when_it_comes_into_effect(admin: Connection, server: Postgres) -> None:
    admin.execute("ALTER ROLE bob SET pg_stat_requests.request_id = 'not good'")
    assert info(admin)["ignored_ids"] == 0
    with server.connect(user="bob") as bob:
        assert bob.execute("SHOW pg_stat_requests.request_id").fetchone() == ("",)
    admin.execute("ALTER ROLE bob RESET pg_stat_requests.request_id")
    assert info(admin)["ignored_ids"] == 1


def test_a_parallel_query_under_a_bad_id_warns_once(session: Connection, warnings: list[Warned]) -> None:
    force_parallel(session)
    session.execute("BEGIN")
    session.execute(SET_ID, ("not good",))
    session.execute("SELECT count(*) FROM item")
    session.execute("COMMIT")
    assert len(warnings) == 1


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("plain") / "server", settings={"shared_preload_libraries": ""}) as running:
        yield running
        assert running.fatal_log_lines() == []


def test_without_the_preload_the_extension_says_what_to_do(plain_server: Postgres) -> None:
    with plain_server.connect() as connection:
        for statement in ("CREATE EXTENSION pg_stat_requests", "LOAD 'pg_stat_requests'"):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as failed:
                connection.execute(statement)
            assert "shared_preload_libraries" in str(failed.value.diag.message_primary)
            assert "restart" in str(failed.value.diag.message_hint)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_id_in_the_configuration_file_applies_to_all(tmp_path: Path) -> None:
    settings = {"pg_stat_requests.request_id": "everybody", "autovacuum": "off"}
    with Postgres(tmp_path / "server", settings=settings) as server, server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_requests")
        connection.execute("SELECT 1")
        shown = connection.execute("SELECT statements FROM pg_stat_requests('everybody')").fetchone()
        assert shown == (2,)  # the statement that looks is the third
        server.configure({"pg_stat_requests.request_id": "not good"})
        connection.execute("SELECT pg_reload_conf()")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
        server.stop()
        assert server.fatal_log_lines() == []
