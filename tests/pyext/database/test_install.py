import gc
import logging
import weakref
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import reqtrail.sqlalchemy
from tests.pyext.database.database import Database, seen_id
from tests.pyext.database.wire_tap import WireTap


def sends(database: Database, monkeypatch: pytest.MonkeyPatch, front: str) -> None:
    """Have another statement ride on BEGIN, up to the id and a quote; after `install`."""
    engine = database.engine if isinstance(database.engine, Engine) else database.engine.sync_engine
    monkeypatch.setattr(reqtrail.sqlalchemy._installations[engine].rider, "set_local", front)


def test_uninstall_reaches_the_connections_in_the_pool(database: Database, tap: WireTap) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") == "abc"
    reqtrail.sqlalchemy.uninstall(database.engine)
    assert database.begin(seen_id, "def") is None
    assert b"def" not in tap.conversation.texts
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "ghi") == "ghi"


def test_installing_twice_is_installing_once(database: Database, tap: WireTap) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") == "abc"
    assert tap.conversation.texts.count(b"SET LOCAL") == 1
    reqtrail.sqlalchemy.uninstall(database.engine)
    assert database.begin(seen_id, "def") is None
    reqtrail.sqlalchemy.uninstall(database.engine)


def test_it_survives_a_dispose_of_the_pool(database: Database) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    database.begin(seen_id, "abc")
    database.close_connections()
    assert database.begin(seen_id, "def") == "def"
    database.close_connections()
    reqtrail.sqlalchemy.uninstall(database.engine)
    assert database.begin(seen_id, "ghi") is None


def test_two_engines_are_independent(database: Database, tap: WireTap) -> None:
    other = Database(database.kind, tap.port)
    try:
        reqtrail.sqlalchemy.install(database.engine)
        reqtrail.sqlalchemy.install(other.engine)
        assert other.begin(seen_id, "abc") == "abc"
        reqtrail.sqlalchemy.uninstall(database.engine)
        assert other.begin(seen_id, "abc") == "abc"
        assert database.begin(seen_id, "abc") is None
    finally:
        other.close()


def test_disabled_by_the_environment_it_does_nothing(
    database: Database, tap: WireTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") is None
    assert b"abc" not in tap.conversation.texts


def test_listeners_of_the_application_run_as_before(database: Database) -> None:
    seen: list[str] = []
    sync_engine = getattr(database.engine, "sync_engine", database.engine)
    event.listen(sync_engine, "do_connect", lambda *_: seen.append("do_connect"))
    event.listen(sync_engine, "connect", lambda *_: seen.append("connect"))
    reqtrail.sqlalchemy.install(database.engine)
    event.listen(sync_engine, "begin", lambda _: seen.append("begin"))
    assert database.begin(seen_id, "abc") == "abc"
    assert set(seen) == {"do_connect", "connect", "begin"}


@pytest.mark.parametrize("value", [None, "postgresql://", Session(), Session])
def test_what_is_no_engine_is_a_type_error_that_says_what_is_right(value: Any) -> None:
    for function in (reqtrail.sqlalchemy.install, reqtrail.sqlalchemy.uninstall):
        with pytest.raises(TypeError, match="engine is a SQLAlchemy Engine or AsyncEngine, not"):
            function(value)


def test_a_driver_without_support_is_a_value_error_that_names_those_with() -> None:
    with pytest.raises(ValueError, match=r"sqlite\+pysqlite: use a postgresql\+asyncpg, postgresql\+psycopg or"):
        reqtrail.sqlalchemy.install(create_engine("sqlite://"))


def test_a_server_that_refuses_the_setting_gets_plain_transactions_and_one_warning(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    sends(database, monkeypatch, "SET LOCAL no_such_setting = '")
    with caplog.at_level(logging.WARNING, "reqtrail"):
        for _ in range(3):
            assert database.begin(lambda connection: connection.scalar(text("SELECT 41 + 1")), "abc") == 42
    warnings = [record.getMessage() for record in caplog.records if record.name == "reqtrail"]
    assert len(warnings) == 1
    assert "no_such_setting" in warnings[0]


def test_a_cancel_that_hits_the_begin_reaches_the_application(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    database.begin(seen_id, "abc")
    with monkeypatch.context() as patch:
        sends(database, patch, "SELECT pg_cancel_backend(pg_backend_pid()) FROM pg_sleep(0) WHERE '' <> '")
        with pytest.raises(DBAPIError, match="canceling statement"):
            database.begin(seen_id, "abc")
    assert database.begin(seen_id, "def") == "def"


def test_a_server_that_goes_away_during_begin_is_an_error_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reqtrail.sqlalchemy.install(database.engine)
    database.begin(seen_id, "abc")
    with monkeypatch.context() as patch:
        sends(database, patch, "SELECT pg_terminate_backend(pg_backend_pid()) WHERE '' <> '")
        with pytest.raises(DBAPIError):
            database.begin(seen_id, "abc")
    assert database.begin(seen_id, "def") == "def"


def test_a_connection_of_a_kind_that_cannot_carry_an_id_is_used_without(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("object layout differs")

    monkeypatch.setattr("reqtrail.begin.BeginRider.riding", fail)
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") is None
    assert "object layout differs" in caplog.text


def test_methods_that_the_application_gave_the_dialect_stay(database: Database) -> None:
    dialect = database.engine.dialect
    called: list[str] = []
    names = ("connect", "do_ping", "do_begin_twophase")
    for name in names:
        setattr(dialect, name, _noting(called, getattr(dialect, name), name))
    own = {name: vars(dialect)[name] for name in names}
    reqtrail.sqlalchemy.install(database.engine)
    assert database.begin(seen_id, "abc") == "abc"
    assert "connect" in called
    reqtrail.sqlalchemy.uninstall(database.engine)
    assert {name: vars(dialect)[name] for name in names} == own


def _noting(called: list[str], method: Any, name: str) -> Any:
    def noting(*args: Any, **how: Any) -> Any:
        called.append(name)
        return method(*args, **how)

    return noting


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # SQLAlchemy before 2.1 leaves its end to the collector
def test_a_connection_that_a_listener_refused_can_go(database: Database) -> None:
    refused: list[Any] = []
    sync_engine = getattr(database.engine, "sync_engine", database.engine)

    def refuse(_dbapi_connection: Any, record: Any) -> None:
        if database.kind != "psycopg2":  # whose connections are kept by nothing of ours
            refused.append(weakref.ref(record.driver_connection))
        raise RuntimeError("not today")

    event.listen(sync_engine, "connect", refuse)
    reqtrail.sqlalchemy.install(database.engine)
    with pytest.raises(RuntimeError, match="not today"):
        database.begin(seen_id, "abc")
    gc.collect()
    assert [reference() for reference in refused if reference() is not None] == []
