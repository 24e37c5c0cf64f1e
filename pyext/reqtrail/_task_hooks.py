"""The one object that does what is to be done for each task, in C++."""

from datetime import datetime, timezone
from typing import Any

from reqtrail import metrics
from reqtrail._native import TaskHooks
from reqtrail._task_log import log_started, task_levels, write_ended
from reqtrail.metrics._segment import attach

_LAST = 253_402_300_799.0
"""9999-12-31T23:59:59Z: a float of what follows rounds into a year that a datetime cannot have."""


def _due(eta: Any) -> float | None:
    """Return the Unix time of an ETA as it is in a message; None where it cannot be read."""
    try:
        due = datetime.fromisoformat(eta.replace("Z", "+00:00")) if isinstance(eta, str) else eta
        return min(float(due.astimezone(timezone.utc).timestamp()), _LAST) if due.tzinfo is not None else None
    except (AttributeError, ValueError, OverflowError):
        return None


hooks = TaskHooks(
    open_segment=metrics.open_segment, due=_due, on_started=log_started, on_ended=write_ended, levels=task_levels()
)
attach(hooks, None)
