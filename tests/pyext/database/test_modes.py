"""How the server learns the id, in each mode, and what static tags look like to it."""

import contextvars
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

import reqtrail.sqlalchemy
from reqtrail._native import request_id_var
from reqtrail.sql_comment import MODES, Commenter
from tests.pyext.database.database import Database, seen_id
from tests.pyext.database.wire_tap import WireTap

OWN_TEXT = text("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")


def own_text(connection: Connection) -> str:
    """The statement as the server shows it to an administrator."""
    return str(connection.scalar(OWN_TEXT))


def application_name(connection: Connection) -> str:
    return str(connection.scalar(text("SHOW application_name")))


def everything(connection: Connection) -> tuple[str | None, bool, bool]:
    return seen_id(connection), "/* request_id: abc */ " in own_text(connection), application_name(connection) == "abc"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("guc", ("abc", False, False)),
        ("comment", (None, True, False)),
        ("both", ("abc", True, False)),
        ("application_name", (None, False, True)),
    ],
)
def test_the_server_learns_the_id_in_the_way_of_the_mode(
    database: Database, mode: str, expected: tuple[str | None, bool, bool]
) -> None:
    reqtrail.sqlalchemy.install(database.engine, mode=mode)
    assert database.begin(everything, "abc") == expected
    assert database.begin(everything) == (None, False, False)
    assert database.run(everything, "abc") == expected


@pytest.mark.parametrize("mode", ["comment", "both"])
def test_comments_reach_statements_outside_of_a_transaction(database: Database, mode: str) -> None:
    reqtrail.sqlalchemy.install(database.engine, mode=mode)
    assert "/* request_id: abc */" in database.run(own_text, "abc", isolation_level="AUTOCOMMIT")


def test_a_mode_that_is_none_is_an_error_that_names_those_that_are(database: Database) -> None:
    for wrong in ("GUC", "", "comments", None):
        with pytest.raises(ValueError, match="mode must be one of 'guc', 'comment', 'both', 'application_name'"):
            reqtrail.sqlalchemy.install(database.engine, mode=wrong)  # type: ignore[arg-type]
    assert database.begin(seen_id, "abc") is None


def test_a_second_install_changes_the_mode_of_connections_in_the_pool(database: Database) -> None:
    for mode in (*MODES, *MODES):
        reqtrail.sqlalchemy.install(database.engine, mode=mode)
        found = database.begin(everything, "abc")
        assert (
            found
            == {
                "guc": ("abc", False, False),
                "comment": (None, True, False),
                "both": ("abc", True, False),
                "application_name": (None, False, True),
            }[mode]
        )
    reqtrail.sqlalchemy.uninstall(database.engine)
    assert database.begin(everything, "abc") == (None, False, False)


def parameters(connection: Connection) -> list[Any]:
    found = connection.execute(text("SELECT '%', :a, '%%', '100%' LIKE :b -- the end"), {"a": "%s */", "b": "%\\%"})
    plain = connection.exec_driver_sql("SELECT 5 % 3", execution_options={"no_parameters": True})
    return [*found.all(), plain.scalar()]


def test_tags_are_sqlcommenter_comments_that_change_nothing_else(database: Database, tap: WireTap) -> None:
    expected = database.begin(parameters)
    tags = {"route": lambda: "/a/{id}*/'%s", "none": lambda: None, "db driver": "x"}
    reqtrail.sqlalchemy.install(database.engine, tags=tags)
    assert database.begin(parameters, "abc") == expected
    comment = "/*db%20driver='x',route='%2Fa%2F%7Bid%7D%2A%2F%27%25s'*/"
    assert tap.conversation.texts.count(comment.encode()) == 2
    assert f"-- the end\n{comment}".encode() in tap.conversation.texts
    assert database.begin(own_text, "abc").endswith(f" {comment}")
    assert "/*" not in database_without_tags(database)


def database_without_tags(database: Database) -> str:
    reqtrail.sqlalchemy.uninstall(database.engine)
    return database.begin(own_text, "abc")


def test_tags_leave_the_caches_of_statements_at_work(database: Database, tap: WireTap) -> None:
    """The same statement with the same tags is parsed no more often than without tags, whatever the request."""
    if database.kind == "psycopg2":
        return  # has no prepared statements

    def parses(request_id: str) -> int:
        def ten_times(connection: Connection) -> None:
            for n in range(10):
                connection.execute(text("SELECT CAST(:n AS int)"), {"n": n})

        tap.conversation.clear()
        database.begin(ten_times, request_id)
        return len([body for kind, body in tap.conversation.sent if kind == "P" and b"CAST" in body])

    parses("warm")
    expected = parses("one")
    reqtrail.sqlalchemy.install(database.engine, tags={"route": "/items/{id}"})
    database.close_connections()
    parses("warm")
    assert [parses("one"), parses("two"), parses("three")] == [expected] * 3


def test_tags_of_too_many_kinds_are_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    numbers: Iterator[int] = iter(range(2000))
    commenter = Commenter("guc", {"number": lambda: str(next(numbers))})
    texts = [commenter.commented("SELECT 1") for _ in range(1500)]
    assert texts[999] == "SELECT 1 /*number='999'*/"
    assert {*texts[1000:]} == {"SELECT 1"}
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_tag_that_fails_is_left_out() -> None:
    commenter = Commenter("guc", {"bad": lambda: str(1 / 0), "number": lambda: 7, "good": "\ud800"})
    assert commenter.commented("SELECT 1") == "SELECT 1 /*good='%3F'*/"


@pytest.mark.parametrize(
    ("tags", "error"),
    [(("routes",), ValueError), ("route", TypeError), ({"": "x"}, ValueError), ({"route": 7}, TypeError)],
)
def test_bad_tags_are_refused_when_they_are_given(database: Database, tags: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="tag"):
        reqtrail.sqlalchemy.install(database.engine, tags=tags)


@pytest.mark.parametrize("value", ["a */ b", "a'", "", "a" * 129, "\n", "é", "\ud800", 7])
def test_what_is_no_request_id_never_becomes_a_comment(value: Any) -> None:
    def forged() -> str:
        request_id_var.set(value)  # past the check of set_request_id
        return Commenter("comment").commented("SELECT 1")

    assert contextvars.copy_context().run(forged) == "SELECT 1"
