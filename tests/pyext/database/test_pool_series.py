"""What the series say of a SQLAlchemy pool, for every driver and kind of pool."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, StaticPool, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AssertionPool

import reqtrail.sqlalchemy
from reqtrail import reset_request_id, set_request_id
from tests.own_metrics import samples, total
from tests.pyext.database.counted_pool import Make, Pool


def test_connections_are_counted_by_what_they_do(make: Make) -> None:
    pool = make(pool_size=2, max_overflow=2)

    def three_at_once(engine: Engine) -> None:
        seen = []
        with engine.connect() as first:
            seen.append((*pool.states, pool.overflow))
            with engine.connect(), engine.connect():
                seen.append((*pool.states, pool.overflow))
            first.execute(text("SELECT 1"))
            seen.append((*pool.states, pool.overflow))
        seen.append((*pool.states, pool.overflow))
        assert seen == [(1, 0, 0), (3, 0, 1), (1, 2, 1), (0, 2, 0)]

    for _ in range(2):
        pool.run(three_at_once)
        assert (pool.size, pool.limit) == (2, 4)
        pool.database.close_connections()
        assert pool.states == (0, 0)
    assert pool.wait_seconds_count == 6
    assert pool.timeouts_total == 0


def test_a_pool_that_is_exhausted_shows_who_waits_and_who_gave_up(make: Make) -> None:
    pool = make(pool_size=1, pool_timeout=0.05)

    def exhaust(engine: Engine) -> None:
        with engine.connect():
            with pytest.raises(PoolTimeoutError, match="QueuePool limit of size 1 overflow 0 reached"):
                engine.connect()
            assert pool.states == (1, 0)

    pool.run(exhaust)
    assert (pool.timeouts_total, pool.wait_seconds_count, pool.waiting) == (1, 2, 0)
    assert pool.wait_seconds_sum >= 0.05


def test_the_wait_has_the_request_as_its_exemplar(make: Make) -> None:
    pool = make()
    token = set_request_id("who-waited")
    pool.run(lambda engine: engine.connect().close())
    reset_request_id(token)
    buckets = samples("reqtrail_db_pool_wait_seconds_bucket", pool=pool.name)
    assert [bucket.exemplar.labels for bucket in buckets if bucket.exemplar] == [{"request_id": "who-waited"}]


# SQLAlchemy itself terminates a detached connection of psycopg's async kind without closing it.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
@pytest.mark.parametrize("how", ["invalidate", "detach", "terminate"])
def test_a_connection_that_leaves_the_pool_is_counted_out(make: Make, how: str) -> None:
    pool = make(pool_size=1)

    def lose(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            if how == "terminate":
                with pytest.raises(Exception, match=r"terminat|closed|abnormal"):
                    connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            else:
                getattr(connection, how)()
            assert pool.states == (0, 0)
            connection.rollback()
        with engine.connect():
            assert pool.states == (1, 0)
        assert pool.states == (0, 1)

    pool.run(lose)


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_dispose_counts_the_next_pool(make: Make) -> None:
    pool = make(pool_size=1)

    def dispose_with_one_checked_out(engine: Engine) -> None:
        with engine.connect() as old:
            engine.dispose()
            with engine.connect():
                assert pool.states == (2, 0)
            old.execute(text("SELECT 1"))
            assert pool.states == (1, 1)
            engine.dispose()
            assert pool.states == (1, 0)
            old.detach()
        assert (pool.size, pool.limit, *pool.states) == (1, 1, 0, 0)

    pool.run(dispose_with_one_checked_out)


def test_a_second_install_changes_nothing_but_the_name(make: Make) -> None:
    pool = make(pool_size=1)

    def install_in_between(engine: Engine) -> None:
        with engine.connect():
            reqtrail.sqlalchemy.install(engine, mode="both")
            assert pool.states == (1, 0)
            reqtrail.sqlalchemy.install(engine, pool_name=f"{pool.name}-other")
            assert (pool.states, pool.size) == ((0, 0), 0)
        with engine.connect():
            assert total("reqtrail_db_pool_connections", pool=f"{pool.name}-other", state="checked_out") == 1

    pool.run(install_in_between)


def test_uninstall_takes_back_what_was_counted(make: Make) -> None:
    pool = make(pool_size=1)
    pool.uninstall()
    plain_class = type(pool.database.engine.pool)
    pool.install()

    def uninstall_in_between(engine: Engine) -> None:
        with engine.connect():
            pool.uninstall()
            assert (pool.states, pool.size, pool.limit) == ((0, 0), 0, 0)
        with engine.connect():
            assert pool.states == (0, 0)
        assert type(engine.pool) is plain_class
        pool.install()
        with engine.connect():
            assert (pool.states, pool.size, pool.limit) == ((1, 0), 1, 1)
        pool.uninstall()

    pool.run(uninstall_in_between)
    assert pool.wait_seconds_count == 2


def test_an_engine_with_other_options_shares_the_pool(make: Make) -> None:
    pool = make(pool_size=1)

    def with_autocommit(engine: Engine) -> None:
        other = engine.execution_options(isolation_level="AUTOCOMMIT")
        reqtrail.sqlalchemy.install(other, pool_name=pool.name)
        with other.connect():
            assert pool.states == (1, 0)
        reqtrail.sqlalchemy.uninstall(other)
        assert pool.states == (0, 0)

    pool.run(with_autocommit)
    assert pool.wait_seconds_count == 1


@pytest.mark.parametrize("pool_class", [NullPool, StaticPool, AssertionPool])
def test_pools_without_a_size_have_no_bounds(pool_class: Any, make: Make) -> None:
    pool = make(pool_size=None, max_overflow=None, pool_timeout=None, poolclass=pool_class)

    def once(engine: Engine) -> None:
        with engine.connect():
            assert pool.states == (1, 0)
        assert pool.states == ((0, 0) if pool_class is NullPool else (0, 1))

    pool.run(once)
    pool.run(once)
    assert pool.wait_seconds_count == 2
    for bound in ("size", "limit"):
        assert samples(f"reqtrail_db_pool_{bound}", pool=pool.name) == []


def test_a_pool_without_a_limit_has_none(make: Make) -> None:
    pool = make(pool_size=1, max_overflow=-1)

    def two_at_once(engine: Engine) -> None:
        with engine.connect(), engine.connect():
            assert (*pool.states, pool.overflow) == (2, 0, 1)

    pool.run(two_at_once)
    assert pool.size == 1
    assert samples("reqtrail_db_pool_limit", pool=pool.name) == []
    endless = make(pool_size=0)
    endless.run(two_connections_of(endless))
    assert samples("reqtrail_db_pool_size", pool=endless.name) == []


def two_connections_of(pool: Pool) -> Callable[[Engine], None]:
    def two_at_once(engine: Engine) -> None:
        with engine.connect(), engine.connect():
            assert (*pool.states, pool.overflow) == (2, 0, 0)

    return two_at_once


def test_listeners_that_refuse_a_connection_leave_nothing_counted(make: Make) -> None:
    pool = make(pool_size=1)

    def refuse(engine: Engine) -> None:
        def listener(*_: object) -> None:
            raise RuntimeError("not today")

        event.listen(engine, "checkout", listener)
        with pytest.raises(RuntimeError, match="not today"):
            engine.connect()
        event.remove(engine, "checkout", listener)
        assert (*pool.states, pool.waiting) == (0, 0, 0)

    pool.run(refuse)


def test_the_pool_stays_the_object_that_the_application_holds(make: Make) -> None:
    pool = make(pool_size=1)
    pool.uninstall()
    held = pool.sync_engine.pool
    pool.install()
    assert pool.sync_engine.pool is held
    seen: list[str] = []
    event.listen(held, "checkout", lambda *_: seen.append("checkout"))
    pool.run(lambda engine: engine.connect().close())
    assert seen == ["checkout"]


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_listener_that_takes_the_connection_out_of_the_pool_is_no_fault(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(pool_size=1)

    def detach(engine: Engine) -> None:
        def listener(_dbapi_connection: Any, _record: Any, proxied: Any) -> None:
            proxied.detach()

        event.listen(engine, "checkout", listener)
        with engine.connect():
            assert (*pool.states, pool.waiting) == (0, 0, 0)
        event.remove(engine, "checkout", listener)
        with engine.connect():
            assert (*pool.states, pool.waiting) == (1, 0, 0)

    pool.run(detach)
    assert pool.wait_seconds_count == 2
    assert "reqtrail failed" not in caplog.text
