"""Faults of the instrument itself: counted and logged once, never raised into the application."""

import logging
from typing import Protocol

from reqtrail._native import set_fault_handler

_logger = logging.getLogger("reqtrail")
_logged: set[str] = set()


class _FaultCounter(Protocol):
    def inc(self) -> None: ...


class _Counter(Protocol):
    def labels(self, where: str, /) -> _FaultCounter: ...


_counter: _Counter | None = None


def count_faults_in(counter: _Counter) -> None:
    """Count the faults from here on in `counter`, which has one label: the part of the instrument that failed."""
    global _counter
    _counter = counter


def report_fault(where: str, fault: BaseException | None = None) -> None:
    """Count a fault of the part `where`, and log it if it is the first of that part in this process. Never raises."""
    try:
        if _counter is not None:
            _counter.labels(where).inc()
        if where not in _logged:
            _logged.add(where)
            _logger.error("reqtrail failed at: %s (logged once; requests are not affected)", where, exc_info=fault)
    except Exception:  # noqa: S110 - there is nobody left to tell
        pass


set_fault_handler(report_fault)
