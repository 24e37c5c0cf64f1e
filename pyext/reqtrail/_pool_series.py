"""The series of a SQLAlchemy connection pool: how many connections it has, and how long one waits for one of them.

The gauges are sums of parts: each connection has a place in one of them, and takes its part along when it goes away.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet, finalize

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from reqtrail._faults import report_fault
from reqtrail._native import PoolPlace
from reqtrail.metrics import Counter, Gauge, Histogram

_connections = Gauge("reqtrail_db_pool_connections", "Connections of the pool, by state.", ("pool", "state"))
_size = Gauge("reqtrail_db_pool_size", "Connections that the pool keeps open.", ("pool",))
_overflow = Gauge("reqtrail_db_pool_overflow", "Connections that are open beyond the pool's size.", ("pool",))
_limit = Gauge("reqtrail_db_pool_limit", "Connections that the pool may have at most: size and overflow.", ("pool",))
_waiting = Gauge("reqtrail_db_pool_waiting", "Checkouts that have not got their connection yet.", ("pool",))
_wait = Histogram("reqtrail_db_pool_wait_seconds", "From asking the pool to having a connection.", ("pool",))
_timeouts = Counter("reqtrail_db_pool_timeouts", "Checkouts that the pool gave up: it was exhausted.", ("pool",))

_PLACE = "reqtrail_place"

_HERE = "here"

_all_series: "WeakSet[PoolSeries]" = WeakSet()


def _be_a_child() -> None:
    """Count in a child made by fork from 0: its gauges are parts of their own."""
    for series in [*_all_series]:
        series.forget()


os.register_at_fork(after_in_child=_be_a_child)


class PoolSeries:
    """Counts what the pool of one engine does. Its faults are reported, and end the counting; the engine goes on."""

    def __init__(self, engine: Engine, name: str | None) -> None:
        """Count from here on, under `name` or, where it is None, that of the pool, the engine or the database."""
        self.name = name or engine.pool.logging_name or engine.logging_name or engine.url.database or "default"
        self._on = True
        self.counts: dict[str, _PoolCounts] = {}
        """Where the pool counts in this process, as _HERE; nothing while it does not."""
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
        self._end = finalize(engine, _end, self.counts)
        self._end.atexit = False
        _all_series.add(self)

    def remove(self, engine: Engine) -> None:
        """Count no more, and let the gauges be as if the pool had ended."""
        self._on = False
        for event_name, listener in self._listeners.items():
            event.remove(engine, event_name, listener)
        if type(engine.pool) is self._class:
            engine.pool.__class__ = self._plain_class
        self._end()

    def begin(self, pool: Any) -> "_PoolCounts | None":
        """Return where `pool` counts in this process from here on; None when it does not."""
        if not self._on:
            return None
        try:
            begun = _PoolCounts(self.name, pool)
            counts = self.counts.setdefault(_HERE, begun)
            if counts is not begun:  # another thread was first
                begun.end()
            if not self._on:  # another thread has ended the counting
                _end(self.counts)
                return None
        except Exception as fault:
            self.fail(fault)
            return None
        return counts

    def first_check_out(self, counts: "_PoolCounts", info: dict[str, Any]) -> None:
        """Take note that the pool has handed out the connection with this `info`, which was not idle in it."""
        place = info.get(_PLACE)
        if place is None:
            place = info[_PLACE] = _Place()
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
        for counts in self.counts.values():
            for place in [*counts.places]:
                place.forget()
        self.counts.clear()

    def fail(self, fault: Exception) -> None:
        """Report a fault, and count no more."""
        self._on = False
        report_fault("db_pool_series", fault)
        try:
            _end(self.counts)
        except Exception as another:
            report_fault("db_pool_series", another)

    @staticmethod
    def _on_gone(_dbapi_connection: Any, record: Any) -> None:
        place = record.record_info.get(_PLACE)
        if place is not None:
            place.give_back()


def _end(all_counts: "dict[str, _PoolCounts]") -> None:
    counts = all_counts.pop(_HERE, None)
    if counts is not None:
        counts.end()


def _counting(base: type[Any], series: PoolSeries) -> type[Any]:
    """Return the class of pools that extends `base` and counts in `series`."""
    plain: Callable[[Any], Any] = base.connect
    plain_return: Callable[[Any, Any], None] = base._return_conn
    clock = time.perf_counter
    all_counts = series.counts

    def connect(self: Any) -> Any:
        counts = all_counts.get(_HERE) or series.begin(self)
        if counts is None:
            return plain(self)
        try:
            counts.waiting.inc()
        except Exception as fault:
            series.fail(fault)
            return plain(self)
        asked = clock()
        try:
            connection = plain(self)
        except BaseException as error:
            series.no_check_out(counts, clock() - asked, error)
            raise
        try:
            counts.waiting.dec()
            counts.wait.observe(clock() - asked)
            info = connection.record_info
            place = info.get(_PLACE)
            if place is None or not place.check_out(counts):
                series.first_check_out(counts, info)
        except Exception as fault:
            series.fail(fault)
        return connection

    # Not the event "checkin", to dispatch which takes longer than all the counting.
    def return_conn(self: Any, record: Any) -> None:
        try:
            place = record.record_info.get(_PLACE)
            if place is not None:
                (place.give_back if record.dbapi_connection is None else place.check_in)()
        except Exception as fault:
            series.fail(fault)
        plain_return(self, record)

    named = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    metaclass: Any = type(base)
    counting: type[Any] = metaclass(base.__name__, (base,), {**named, "connect": connect, "_return_conn": return_conn})
    return counting


class _PoolCounts:
    """What one pool counts in one process."""

    def __init__(self, name: str, pool: Any) -> None:
        self.places: WeakSet[_Place] = WeakSet()
        self._open = 0
        self._lock = threading.RLock()  # the garbage collector may take a place back while another one is taken
        self._size: int | None = None
        self._bounds: list[tuple[Gauge, int]] = []
        self.checked_out = _connections.labels(name, "checked_out")
        self.idle = _connections.labels(name, "idle")
        self.waiting = _waiting.labels(name)
        self.wait = _wait.labels(name)
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
        self.enter(counts, counts.idle, counts.checked_out)

    def give_back(self) -> None:
        """Be in no gauge, as the connection is closed or has left the pool."""
        counts = self.leave()
        if counts is not None:
            counts.closed()

    __del__ = give_back
