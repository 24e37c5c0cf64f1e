"""What the native methods in place of a pool's own are to Python, beside counting."""

import gc
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from reqtrail._native import POOL_PLACE, CountedPool, PoolCounts, PoolPlace, pool_connect, pool_return_conn
from reqtrail._pool_series import PoolSeries
from tests.own_metrics import total


class OwnPool(QueuePool):
    """A pool of an application's own, which hands out what it likes."""

    fault: BaseException | None = None
    proxy: Any = None

    def connect(self) -> PoolProxiedConnection:
        if self.fault is not None:
            raise self.fault
        connection = super().connect()
        return connection if self.proxy is None else self.proxy(connection)


class Proxy:
    """What is known of a connection of a pool: it can be closed, and has a record_info."""

    def __init__(self, connection: PoolProxiedConnection) -> None:
        self._connection = connection
        self.record_info = connection.record_info

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def pool(request: pytest.FixtureRequest) -> Iterator[OwnPool]:
    """A pool of one connection that is counted under the name of the test."""
    engine = create_engine("sqlite://", poolclass=OwnPool, pool_size=1, max_overflow=0)
    series = PoolSeries(engine, request.node.name)
    assert isinstance(engine.pool, OwnPool)
    yield engine.pool
    series.remove(engine)
    engine.dispose()


def states(request: pytest.FixtureRequest) -> tuple[float, ...]:
    name = request.node.name
    in_states = (total("reqtrail_db_pool_connections", pool=name, state=state) for state in ("checked_out", "idle"))
    return (*in_states, total("reqtrail_db_pool_waiting", pool=name))


def test_a_pool_of_the_applications_own_is_counted(pool: OwnPool, request: pytest.FixtureRequest) -> None:
    for proxy in (None, Proxy):
        pool.proxy = proxy
        for _ in range(2):
            connection = pool.connect()
            assert states(request) == (1, 0, 0)
            connection.close()
            assert states(request) == (0, 1, 0)


@pytest.mark.parametrize("fault", [ValueError("not today"), KeyboardInterrupt(), GeneratorExit()])
def test_an_error_of_the_pool_passes_as_it_is(
    fault: BaseException, pool: OwnPool, request: pytest.FixtureRequest
) -> None:
    pool.fault = fault
    with pytest.raises(type(fault)) as raised:
        pool.connect()
    assert raised.value is fault
    assert (fault.__context__, fault.__cause__) == (None, None)
    assert states(request) == (0, 0, 0)


def test_an_interrupt_while_it_is_counted_is_the_applications(
    pool: OwnPool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("begin", "first_check_out", "no_check_out"):
        with monkeypatch.context() as patch:
            patch.setattr(PoolSeries, name, interrupted)
            patch.setattr(pool, "fault", ValueError("not today") if name == "no_check_out" else None)
            with pytest.raises(KeyboardInterrupt):
                pool.connect()
    pool.connect().close()
    assert states(request)[:2] == (0, 1)


def test_arguments_reach_the_pool_as_they_are(pool: OwnPool, request: pytest.FixtureRequest) -> None:
    called: Any = pool
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        called.connect(1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
        type(called).connect()
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'record'"):
        called._return_conn()
    assert states(request) == (0, 0, 0)
    returned = []
    event.listen(pool, "checkin", lambda _, record: returned.append(record))
    pool.connect().close()
    pool._do_get()
    pool._return_conn(record=returned[0])
    assert states(request) == (0, 1, 0)


def test_the_methods_tell_of_themselves_what_the_pools_own_tell(pool: OwnPool) -> None:
    for name in ("connect", "_return_conn"):
        ours, own = getattr(pool, name), getattr(OwnPool, name)
        assert inspect.signature(ours) == inspect.signature(own.__get__(pool))
        assert (ours.__name__, ours.__doc__, ours.__self__) == (own.__name__, own.__doc__, pool)


def test_checkouts_keep_no_references(pool: OwnPool) -> None:
    connection = pool.connect()
    place = (connection.record_info or {})[POOL_PLACE]
    connection.close()
    with pytest.raises(ValueError, match="not today"):
        fail(pool)
    del connection
    watched = [pool, type(pool), vars(type(pool))["connect"], place, *gc.get_referents(place)]
    gc.collect()
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(1000):
        pool.connect().close()
        with pytest.raises(ValueError, match="not today"):
            fail(pool)
    gc.collect()
    assert [sys.getrefcount(each) for each in watched] == before


def fail(pool: OwnPool) -> None:
    pool.fault = ValueError("not today")
    try:
        pool.connect()
    finally:
        pool.fault = None


def test_what_is_of_another_type_is_a_type_error() -> None:
    wrong: Any = object()
    for make in (pool_connect, pool_return_conn):
        with pytest.raises(TypeError, match=r"expected a reqtrail\._native\.CountedPool, not object"):
            make(QueuePool, wrong)
        with pytest.raises(AttributeError):
            make(int, CountedPool())
    with pytest.raises(TypeError, match=r"expected a reqtrail\._native\.PoolCounts, not object"):
        CountedPool().keep(wrong)
    with pytest.raises(TypeError, match=r"expected a reqtrail\._native\.PoolCounts, not object"):
        PoolPlace().enter(wrong)
    with pytest.raises(TypeError, match=r"must be reqtrail\._native\.Gauge, not object"):
        PoolCounts(wrong, wrong, wrong, wrong)
    assert CountedPool().take() is None
    assert PoolPlace().leave() is None
