"""Faults of the instrument itself: counted and logged once, never raised into the application."""

import logging
from typing import TYPE_CHECKING

from reqtrail._native import set_fault_handler

if TYPE_CHECKING:
    from reqtrail.metrics import Counter

_logger = logging.getLogger("reqtrail")
_logged: set[str] = set()
_counter: "Counter | None" = None


def faults_total() -> "Counter":
    """Return the counter of the faults; its label is the part of the instrument that failed.

    It counts in the segment of the process. Raises what `reqtrail.metrics.Counter` raises.
    """
    global _counter
    if _counter is None:
        from reqtrail import metrics  # here, for it is only needed when something fails

        _counter = metrics.Counter("reqtrail_faults_total", "Faults of the instrument itself.", ["where"])
    return _counter


def report_fault(where: str, fault: BaseException | None = None) -> None:
    """Count a fault of the part `where`, and log it if it is the first of that part in this process. Never raises."""
    try:
        faults_total().labels(where).inc()
    except Exception as uncounted:
        _log_once("reqtrail_faults_total", uncounted)  # not reported: that would be counted, and fail again
    _log_once(where, fault)


def _log_once(where: str, fault: BaseException | None) -> None:
    try:
        if where not in _logged:
            _logged.add(where)
            _logger.error("reqtrail failed at: %s (logged once; requests are not affected)", where, exc_info=fault)
    except Exception:  # noqa: S110 - there is nobody left to tell
        pass


set_fault_handler(report_fault)
