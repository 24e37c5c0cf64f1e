"""The id by SQL comment: which statements and transactions it is for, and what goes before it."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pg.requests_view import Connection, counts, info, read, rows, tagged

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def warnings(session: Connection) -> list[str]:
    """The messages and details of what the server warns the session of."""
    received: list[str] = []
    session.add_notice_handler(lambda notice: received.append(f"{notice.message_primary}: {notice.message_detail}"))
    return received


@pytest.fixture
def simple(session: Connection) -> Iterator[psycopg.ClientCursor[tuple[object, ...]]]:
    """The session by the simple protocol, where a message may hold several statements."""
    with psycopg.ClientCursor(session) as cursor:
        yield cursor


@pytest.mark.parametrize(
    "statement",
    [
        "/* request_id: x */ SELECT 1",
        "SELECT 1 /* request_id: x */;",
        "SELECT 1 /*controller='a',request_id='%78'*/",
        "EXPLAIN SELECT 1 /* request_id: x */",
        "CREATE TEMP TABLE made_by_x () /* request_id: x */",
        "DO $$ BEGIN PERFORM 1; END $$ /* request_id: x */",
    ],
)
def test_a_comment_tags_the_transaction_of_its_statement(
    admin: Connection, session: Connection, statement: str
) -> None:
    session.execute(statement)
    session.execute("SELECT 'untagged'")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert info(admin)["used"] == 1


def test_traceparent_gives_the_trace_id(admin: Connection, session: Connection) -> None:
    session.execute(f"SELECT 1 /*traceparent='{TRACEPARENT}'*/")
    assert counts(admin, TRACE) == (1, 0, 1, 0)


def test_a_comment_holds_to_the_end_of_its_transaction(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute("SELECT 'before'")
    session.execute("SELECT 1 /* request_id: x */")
    session.execute("SELECT 2")
    session.execute("COMMIT")
    session.execute("SELECT 'after'")
    assert counts(admin, "x") == (1, 0, 2, 0)


def test_a_comment_on_begin_tags_the_whole_transaction(admin: Connection, session: Connection) -> None:
    for begin in ("BEGIN", "START TRANSACTION"):
        session.execute(f"{begin} /* request_id: x */")
        session.execute("SELECT 1")
        (activity,) = read(admin, "SELECT request_id, statements FROM pg_stat_requests_activity")
        assert activity == {"request_id": "x", "statements": 1}
        session.execute("SELECT 2")
        session.execute("COMMIT")
        session.execute("SELECT 'after'")
    assert counts(admin, "x") == (2, 0, 4, 0)


def test_a_later_comment_takes_over_and_each_id_counts_the_transaction(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute("SELECT 1 /* request_id: x */")
    session.execute("SELECT 2 /* request_id: y */")
    session.execute("SELECT 3 /* request_id: x */")
    session.execute("ROLLBACK")
    assert counts(admin, "x") == (1, 1, 2, 0)
    assert counts(admin, "y") == (1, 1, 1, 0)


def test_the_setting_goes_before_a_comment(admin: Connection, session: Connection) -> None:
    with tagged(session, "by-setting"):
        session.execute("SELECT 1 /* request_id: x */")
    assert counts(admin, "by-setting") == (1, 0, 1, 0)
    assert rows(admin, "x") == []


def test_a_setting_takes_over_from_a_comment_and_gives_back(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN /* request_id: x */")
    session.execute("SELECT 1")
    session.execute("SET LOCAL pg_stat_requests.request_id = 'by-setting'")
    session.execute("SELECT 2")
    session.execute("SET LOCAL pg_stat_requests.request_id = ''")
    session.execute("SELECT 3")
    session.execute("COMMIT")
    assert counts(admin, "by-setting") == (1, 0, 1, 0)
    assert counts(admin, "x") == (1, 0, 2, 0)


def test_a_rolled_back_savepoint_does_not_take_the_comment_back(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute("SAVEPOINT s")
    session.execute("SELECT 1 /* request_id: x */")
    session.execute("ROLLBACK TO s")
    session.execute("SELECT 2")
    session.execute("COMMIT")
    assert counts(admin, "x") == (1, 0, 2, 0)


def test_all_statements_of_a_message_see_its_comment(
    admin: Connection, simple: psycopg.ClientCursor[tuple[object, ...]]
) -> None:
    simple.execute("SELECT 1; SELECT 2; SELECT 3 /* request_id: x */")
    assert counts(admin, "x") == (1, 0, 3, 0)
    simple.execute("/* request_id: y */ BEGIN; SELECT 1; COMMIT; SELECT 2")
    assert counts(admin, "y") == (2, 0, 2, 0)
    simple.execute("SELECT 1 /* request_id: z */; SELECT 2")
    assert rows(admin, "z") == []


def test_a_prepared_statement_keeps_the_comment_it_was_prepared_with(admin: Connection, session: Connection) -> None:
    for number in range(3):
        session.execute("SELECT %s::int /* request_id: x */", (number,), prepare=True)
    assert counts(admin, "x") == (3, 0, 3, 0)


def test_sql_execute_counts_for_its_own_comment_not_for_that_of_prepare(admin: Connection, session: Connection) -> None:
    session.execute("PREPARE p AS SELECT 1 /* request_id: of-prepare */")
    session.execute("EXECUTE p /* request_id: x */")
    session.execute("EXECUTE p")
    session.execute("DEALLOCATE p")
    assert counts(admin, "of-prepare") == (1, 0, 1, 0)
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_comments_inside_a_statement_are_not_looked_at(admin: Connection, session: Connection) -> None:
    session.execute("DO $$ BEGIN EXECUTE 'SELECT 1 /* request_id: x */'; END $$")
    session.execute("SELECT 1, /* request_id: x */ 2")
    session.execute("SELECT '/* request_id: x */'")
    assert info(admin)["used"] == 0


def test_a_procedure_that_commits_stays_with_the_comment_on_its_call(admin: Connection, session: Connection) -> None:
    session.execute(
        "CREATE OR REPLACE PROCEDURE commits_twice() LANGUAGE plpgsql AS"
        " $$ BEGIN COMMIT; PERFORM 1; COMMIT; PERFORM 2; END $$"
    )
    session.execute("CALL commits_twice() /* request_id: x */")
    session.execute("SELECT 'after'")
    assert counts(admin, "x") == (3, 0, 1, 0)


def test_statements_that_fail_count_for_their_comment(admin: Connection, session: Connection) -> None:
    for number, statement in enumerate(
        ["SELECT 1 / 0 /* request_id: x */", "SELECT nothing /* request_id: x */", "/* request_id: x */ SELEC 1"]
    ):
        with pytest.raises(psycopg.Error):
            session.execute(statement)
        session.execute("SELECT 'after'")
        assert counts(admin, "x") == (number + 1, number + 1, number + 1, number + 1)


def test_a_comment_refused_in_a_failed_block_tags_nothing_later(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN /* request_id: x */")
    for statement in ("SELECT 1 / 0", "SELECT 1 /* request_id: y */"):
        with pytest.raises(psycopg.Error):
            session.execute(statement)
    session.execute("ROLLBACK")
    session.execute("SELECT 'after'")
    assert counts(admin, "x") == (1, 1, 1, 1)
    assert rows(admin, "y") == []


def test_a_bad_id_warns_once_in_a_transaction_counts_and_the_transaction_goes_on(
    admin: Connection, session: Connection, warnings: list[str]
) -> None:
    session.execute("BEGIN")
    session.execute("SELECT 1 /* request_id: x */")
    for _ in range(3):
        assert session.execute("SELECT 2 /* request_id: no good */").fetchone() == (2,)
    session.execute("COMMIT")
    (warning,) = warnings
    assert warning.startswith("invalid request id ignored: A comment of the statement")
    assert "it has a character other than" in warning
    assert "no good" not in warning
    assert info(admin)["ignored_ids"] == 3
    assert counts(admin, "x") == (1, 0, 1, 0)
    session.execute("SELECT 2 /*traceparent='00-1-2-3'*/")
    assert "it is no W3C traceparent" in warnings[1]


def test_parse_comments_off_looks_at_none(admin: Connection, session: Connection, warnings: list[str]) -> None:
    session.execute("SET pg_stat_requests.parse_comments = off")
    session.execute("SELECT 1 /* request_id: x */")
    session.execute("SELECT 1 /* request_id: no good */")
    with pytest.raises(psycopg.Error):
        session.execute("SELECT 1 / 0 /* request_id: x */")
    assert info(admin)["used"] == info(admin)["ignored_ids"] == 0
    assert warnings == []
    session.execute("RESET pg_stat_requests.parse_comments")
    session.execute("SELECT 1 /* request_id: x */")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_a_cursor_read_in_steps_belongs_to_the_comment_in_effect(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute("DECLARE c CURSOR FOR SELECT * FROM item /* request_id: x */")
    session.execute("FETCH 10 FROM c")
    session.execute("FETCH 10 FROM c /* request_id: y */")
    session.execute("COMMIT")
    assert counts(admin, "x") == (1, 0, 2, 0)
    assert counts(admin, "y") == (1, 0, 1, 0)


# Literals whose value is the text beside them, however a naive reader may take their quotes and comments: one where a
# backslash is a character in '...', and one where it escapes.
TEXTS = st.text("ab' '\"\\'$/*-\n", min_size=1, max_size=12) | st.just("/* request_id: inside */")


def plain(text: str) -> tuple[str, str, str]:
    doubled = text.replace("'", "''")
    return f"'{doubled}'", "'" + doubled.replace("\\", "\\\\") + "'", text


def escaped(text: str) -> tuple[str, str, str]:
    literal = "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return literal, literal, text


def dollars(text: str) -> tuple[str, str, str]:
    return f"$q${text}$q$", f"$q${text}$q$", text


LITERALS = st.one_of(
    TEXTS.map(plain), TEXTS.map(escaped), TEXTS.filter(lambda text: "$q$" not in text + "$").map(dollars)
)
REMARKS = st.sampled_from(["", " ", "\n", " -- it's\n", " /* it's */ ", " /* /* ' */ */ ", "/* request_id: inside */ "])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.tuples(LITERALS, REMARKS), min_size=1, max_size=4),
    places=st.sampled_from(["back", "back", "back", "front", "front and back", ""]),
    escapes=st.booleans(),
)
def test_the_comment_is_found_where_the_server_sees_one(
    admin: Connection,
    session: Connection,
    parts: list[tuple[tuple[str, str, str], str]],
    places: str,
    escapes: bool,
) -> None:
    """The server is the judge of where a literal ends: it returns their texts."""
    admin.execute("SELECT pg_stat_requests_reset()")
    session.execute(f"SET standard_conforming_strings = {'off' if escapes else 'on'}")
    session.execute("SET escape_string_warning = off")
    sql = "SELECT " + ", ".join(f"{literal[escapes]}{remark} || ''" for literal, remark in parts)
    sql = ("/* request_id: front */ " if "front" in places else "") + sql
    sql += " /* request_id: back */" if "back" in places else ""
    with psycopg.ClientCursor(session) as cursor:
        assert cursor.execute(sql).fetchone() == tuple(text for (_, _, text), _ in parts)
    found = {row["request_id"] for row in read(admin, "SELECT request_id FROM pg_stat_requests")}
    assert found == set(places.split()[:1])
