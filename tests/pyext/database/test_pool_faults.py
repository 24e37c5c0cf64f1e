"""What an application notices of faults of its pool's series: nothing but a line in its log."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from reqtrail import _pool_series
from reqtrail._native import Counter, Gauge, Histogram, Segment
from tests.pyext.database.counted_pool import Make


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
    counted = pool.sync_engine.pool
    plain = type(counted)
    counted.__class__ = type("OtherPool", (plain,), {"_return_conn": MissingOnTheClass(plain._return_conn)})
    pool.install()
    pool.run(lambda engine: engine.connect().close())
    pool.run(lambda engine: engine.connect().close())
    assert pool.states == (0, 0)
    assert caplog.text.count("reqtrail failed at: db_pool_series") == 1
    pool.uninstall()


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
    assert pool.sync_engine.pool.status().startswith("Pool size: 1  Connections in pool: 1")
    assert caplog.text.count("OSError: the segment is gone") == 1
    pool.run(lambda engine: engine.connect().close())


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
    assert pool.sync_engine.pool.status().startswith("Pool size: 1  Connections in pool: 1")
    assert caplog.text.count("OSError: the segment is gone") == 1
