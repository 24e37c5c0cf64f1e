"""What the series say of a SQLAlchemy pool, for every driver and kind of pool."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine, NullPool, StaticPool, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AssertionPool
from sqlalchemy.util import greenlet_spawn

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from reqtrail import _pool_series, reset_request_id, set_request_id
from reqtrail._native import Counter, Gauge, Histogram, Segment
from tests.own_metrics import samples, total
from tests.pyext.database.database import KINDS, Database

T = TypeVar("T")

STATES = ("checked_out", "idle")


class Pool:
    """An engine of one kind whose pool is counted under a name of its own."""

    def __init__(self, kind: str, port: int, name: str, **options: Any) -> None:
        self.database = Database(kind, port, **options)
        self.name = name
        self.install()

    def install(self) -> None:
        reqtrail.sqlalchemy.install(self.database.engine, pool_name=self.name)

    def uninstall(self) -> None:
        reqtrail.sqlalchemy.uninstall(self.database.engine)

    def run(self, work: Callable[[Engine], T]) -> T:
        """Do work that is written for an Engine, also on an AsyncEngine."""
        engine = self.database.engine
        if isinstance(engine, AsyncEngine):
            return self.database.await_(greenlet_spawn(work, engine.sync_engine))
        return work(engine)

    @property
    def states(self) -> tuple[float, ...]:
        """How many connections are checked out, and how many are idle."""
        return tuple(total("reqtrail_db_pool_connections", pool=self.name, state=state) for state in STATES)

    def __getattr__(self, name: str) -> float:
        return total(f"reqtrail_db_pool_{name}", pool=self.name)


Make = Callable[..., Pool]


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


def test_a_fault_of_the_series_ends_them_and_not_the_engine(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(pool_size=1)
    with monkeypatch.context() as patch:
        patch.setattr("reqtrail._pool_series._limit", None)
        patch.setattr("reqtrail._faults._logged", set())
        for _ in range(2):
            assert pool.run(lambda engine: engine.connect().close()) is None
    assert caplog.text.count("reqtrail failed at: db_pool_series") == 1
    pool.uninstall()
    pool.install()
    pool.run(lambda engine: engine.connect().close())
    assert pool.states == (0, 1)


class MissingOnTheClass:
    """A method that the pool's class does not show, as if SQLAlchemy had renamed it."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __get__(self, pool: Any, owner: type[Any]) -> Any:
        if pool is None:
            raise AttributeError(f"{owner.__name__} has no such method")
        return self._method.__get__(pool)


def test_a_pool_that_cannot_be_counted_is_used_without(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("reqtrail._faults._logged", set())
    pool = make(pool_size=1)
    pool.uninstall()
    plain = type(sync(pool).pool)
    sync(pool).pool.__class__ = type("OtherPool", (plain,), {"_return_conn": MissingOnTheClass(plain._return_conn)})
    pool.install()
    pool.run(lambda engine: engine.connect().close())
    pool.run(lambda engine: engine.connect().close())
    assert pool.states == (0, 0)
    assert caplog.text.count("reqtrail failed at: db_pool_series") == 1
    pool.uninstall()


def sync(pool: Pool) -> Engine:
    engine = pool.database.engine
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


class FamilyOf:
    """A family of a pool's series all of whose children are `child`."""

    def __init__(self, child: Any) -> None:
        self._child = child

    def labels(self, *_: str) -> Any:
        return self._child


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Makes metrics of a type that cannot be counted on: their segment is gone."""

    def gone() -> Segment:
        raise OSError("the segment is gone")

    def make(metric_type: Any) -> Any:
        metric = metric_type("gone", "Of a segment that is gone.", (), (1.0,))
        monkeypatch.setattr("reqtrail.metrics.open_segment", gone)
        return metric

    monkeypatch.setattr("reqtrail._faults._logged", set())
    return make


def test_a_fault_while_a_connection_comes_back_does_not_keep_it_from_the_pool(
    make: Make, gone: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(pool_size=1)
    pool.run(lambda engine: engine.connect().close())
    pool.uninstall()
    family = _pool_series._connections
    idle = gone(Gauge)

    class Connections:
        def labels(self, name: str, state: str) -> Gauge:
            return idle if state == "idle" else family.labels(name, state)

    monkeypatch.setattr(_pool_series, "_connections", Connections())
    pool.install()
    pool.run(lambda engine: engine.connect().close())
    assert (*pool.states, pool.size, pool.limit) == (0, 0, 0, 0)
    assert sync(pool).pool.status().startswith("Pool size: 1  Connections in pool: 1")
    assert caplog.text.count("OSError: the segment is gone") == 1
    pool.run(lambda engine: engine.connect().close())


def test_the_pool_stays_the_object_that_the_application_holds(make: Make) -> None:
    pool = make(pool_size=1)
    pool.uninstall()
    held = sync(pool).pool
    pool.install()
    assert sync(pool).pool is held
    seen: list[str] = []
    event.listen(held, "checkout", lambda *_: seen.append("checkout"))
    pool.run(lambda engine: engine.connect().close())
    assert seen == ["checkout"]


@pytest.mark.parametrize(("series", "metric_type"), [("_waiting", Gauge), ("_wait", Histogram), ("_timeouts", Counter)])
def test_a_series_that_cannot_be_counted_on_costs_no_checkout(
    series: str,
    metric_type: Any,
    make: Make,
    gone: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = make(pool_size=1, pool_timeout=0.2)
    pool.run(lambda engine: engine.connect().close())
    pool.uninstall()
    monkeypatch.setattr(_pool_series, series, FamilyOf(gone(metric_type)))
    pool.install()

    def exhaust(engine: Engine) -> None:
        with engine.connect(), pytest.raises(PoolTimeoutError):
            engine.connect()

    pool.run(exhaust)
    pool.run(lambda engine: engine.connect().close())
    assert sync(pool).pool.status().startswith("Pool size: 1  Connections in pool: 1")
    assert caplog.text.count("OSError: the segment is gone") == 1


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
