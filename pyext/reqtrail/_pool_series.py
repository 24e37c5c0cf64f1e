"""The series of a SQLAlchemy connection pool: how many connections it has, and how long one waits for one of them.

The gauges are sums of parts: each connection has a place in one of them, and takes its part along when it goes away.
"""

import functools
import os
import threading
from typing import Any
from weakref import WeakSet, finalize

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from reqtrail._faults import report_fault
from reqtrail._native import POOL_PLACE, CountedPool, PoolCounts, PoolPlace, pool_connect, pool_return_conn
from reqtrail.metrics import Counter, Gauge, Histogram

_connections = Gauge("reqtrail_db_pool_connections", "Connections of the pool, by state.", ("pool", "state"))
_size = Gauge("reqtrail_db_pool_size", "Connections that the pool keeps open.", ("pool",))
_overflow = Gauge("reqtrail_db_pool_overflow", "Connections that are open beyond the pool's size.", ("pool",))
_limit = Gauge("reqtrail_db_pool_limit", "Connections that the pool may have at most: size and overflow.", ("pool",))
_waiting = Gauge("reqtrail_db_pool_waiting", "Checkouts that have not got their connection yet.", ("pool",))
_wait = Histogram("reqtrail_db_pool_wait_seconds", "From asking the pool to having a connection.", ("pool",))
_timeouts = Counter("reqtrail_db_pool_timeouts", "Checkouts that the pool gave up: it was exhausted.", ("pool",))

_all_series: "WeakSet[PoolSeries]" = WeakSet()


def _be_a_child() -> None:
    """Count in a child made by fork from 0: its gauges are parts of their own."""
    for series in [*_all_series]:
        series.forget()


os.register_at_fork(after_in_child=_be_a_child)


class PoolSeries(CountedPool):
    """Counts what the pool of one engine does. Its faults are reported, and end the counting; the engine goes on."""

    def __init__(self, engine: Engine, name: str | None) -> None:
        """Count from here on, under `name` or, where it is None, that of the pool, the engine or the database."""
        self.name = name or engine.pool.logging_name or engine.logging_name or engine.url.database or "default"
        self._on = True
        self._plain_class = type(engine.pool)
        self._class = self._plain_class
        self._listeners = {"close": self._on_gone, "detach": self._on_gone}
        try:
            self._class = _counting(self._plain_class, self)
            engine.pool.__class__ = self._class  # dispose() makes the next pool of it, too
        except (AttributeError, TypeError) as fault:
            self.fail(fault)
        for event_name, listener in self._listeners.items():
            event.listen(engine, event_name, listener)
        self._at_end = finalize(engine, self._end)
        self._at_end.atexit = False
        _all_series.add(self)

    def remove(self, engine: Engine) -> None:
        """Count no more, and let the gauges be as if the pool had ended."""
        self._on = False
        for event_name, listener in self._listeners.items():
            event.remove(engine, event_name, listener)
        if type(engine.pool) is self._class:
            engine.pool.__class__ = self._plain_class
        self._at_end()

    def begin(self, pool: Any) -> "_PoolCounts | None":
        """Return where `pool` counts in this process from here on; None when it does not."""
        if not self._on:
            return None
        try:
            begun = _PoolCounts(self.name, pool)
            counts: _PoolCounts = self.keep(begun)
            if counts is not begun:  # another thread was first
                begun.end()
            if not self._on:  # another thread has ended the counting
                self._end()
                return None
        except Exception as fault:
            self.fail(fault)
            return None
        return counts

    def first_check_out(self, counts: "_PoolCounts", info: dict[str, Any]) -> None:
        """Take note that the pool has handed out the connection with this `info`, which was not idle in it."""
        place = info.get(POOL_PLACE)
        if place is None:
            place = info[POOL_PLACE] = _Place()
        if self._on:
            place.take(counts)

    def no_check_out(self, counts: "_PoolCounts", waited: float, error: BaseException) -> None:
        """Take note that the pool has raised `error` after `waited` seconds."""
        try:
            counts.waiting.dec()
            if isinstance(error, PoolTimeoutError):
                counts.timeouts.inc()
                counts.wait.observe(waited)
        except Exception as fault:
            self.fail(fault)

    def forget(self) -> None:
        """Be as if nothing had been counted in this process, which has just begun."""
        counts: _PoolCounts | None = self.take()
        if counts is not None:
            for place in [*counts.places]:
                place.forget()

    def fail(self, fault: Exception) -> None:
        """Report a fault, and count no more."""
        self._on = False
        report_fault("db_pool_series", fault)
        try:
            self._end()
        except Exception as another:
            report_fault("db_pool_series", another)

    def _end(self) -> None:
        counts: _PoolCounts | None = self.take()
        if counts is not None:
            counts.end()

    @staticmethod
    def _on_gone(_dbapi_connection: Any, record: Any) -> None:
        place = record.record_info.get(POOL_PLACE)
        if place is not None:
            place.give_back()


def _counting(base: type[Any], series: PoolSeries) -> type[Any]:
    """Return the class of pools that extends `base` and counts in `series`."""
    methods: dict[str, Any] = {"connect": pool_connect(base, series), "_return_conn": pool_return_conn(base, series)}
    for name, method in methods.items():
        functools.update_wrapper(method, getattr(base, name))
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    metaclass: Any = type(base)
    counting: type[Any] = metaclass(base.__name__, (base,), {**named, **methods})
    return counting


class _PoolCounts(PoolCounts):
    """What one pool counts in one process."""

    def __new__(cls, name: str, _pool: Any) -> "_PoolCounts":
        """Make the part that each checkout counts on."""
        states = [_connections.labels(name, state) for state in ("idle", "checked_out")]
        return super().__new__(cls, _waiting.labels(name), _wait.labels(name), *states)

    def __init__(self, name: str, pool: Any) -> None:
        self.places: WeakSet[_Place] = WeakSet()
        self._open = 0
        self._lock = threading.RLock()  # the garbage collector may take a place back while another one is taken
        self._size: int | None = None
        self._bounds: list[tuple[Gauge, int]] = []
        self.timeouts = _timeouts.labels(name)
        self.overflow = _overflow.labels(name)
        if isinstance(pool, QueuePool) and pool.size() > 0:  # 0 is no bound there
            self._begin_bounds(name, pool.size(), getattr(pool, "_max_overflow", -1))

    def _begin_bounds(self, name: str, size: int, max_overflow: int) -> None:
        self._size = size
        self._bounds.append((_size.labels(name), size))
        if max_overflow >= 0:
            self._bounds.append((_limit.labels(name), size + max_overflow))
        for gauge, amount in self._bounds:
            gauge.inc(amount)

    def opened(self) -> None:
        """Count one more connection."""
        with self._lock:
            self._open += 1
            is_beyond = self._size is not None and self._open > self._size
        if is_beyond:
            self.overflow.inc()

    def closed(self) -> None:
        """Count one connection less."""
        with self._lock:
            was_beyond = self._size is not None and self._open > self._size
            self._open -= 1
        if was_beyond:
            self.overflow.dec()

    def end(self) -> None:
        """Take everything back."""
        for place in [*self.places]:
            place.give_back()
        for gauge, amount in self._bounds:
            gauge.dec(amount)
        self._bounds.clear()


class _Place(PoolPlace):
    """The part of one connection in the gauges. It is taken back when the pool forgets the connection's record."""

    __slots__ = ("__weakref__",)

    def take(self, counts: _PoolCounts) -> None:
        """Be checked out of this pool from here on."""
        self.give_back()
        counts.places.add(self)
        counts.opened()
        self.enter(counts)

    def give_back(self) -> None:
        """Be in no gauge, as the connection is closed or has left the pool."""
        counts = self.leave()
        if counts is not None:
            counts.closed()

    __del__ = give_back
