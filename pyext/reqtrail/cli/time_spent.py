"""Where the time of a request went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reqtrail.cli.timeline import Timeline

_DATABASE_TIMES = ("total_time", "plan_time", "commit_time")


@dataclass(frozen=True)
class TimeSpent:
    """Milliseconds; what is not known is 0."""

    total_ms: float
    """From the first event to the last."""
    running_ms: float
    """In the request and its tasks, added up."""
    database_ms: float
    """Executing, planning and committing."""
    queue_ms: float
    """Between the request and its tasks, without `scheduled_ms`."""
    scheduled_ms: float
    """The part of it in which the next task was not due yet."""

    @property
    def application_ms(self) -> float:
        """In the request and its tasks, outside of the database."""
        return max(0.0, self.running_ms - self.database_ms)

    @property
    def parts(self) -> list[tuple[str, float]]:
        """What there was of each, by its name."""
        parts = {
            "application": self.application_ms,
            "database": self.database_ms,
            "queue": self.queue_ms,
            "scheduled": self.scheduled_ms,
        }
        return [(name, ms) for name, ms in parts.items() if ms > 0]


def time_spent(timeline: Timeline) -> TimeSpent:
    """Add up the times of a timeline."""
    running = sum(event.duration_ms or 0.0 for event in timeline.of_kind("request", "task"))
    database = sum(number(row, name) for row in database_rows(timeline) for name in _DATABASE_TIMES)
    gaps = timeline.gaps()
    queue = sum(gap.duration_ms for gap in gaps if not gap.scheduled)
    scheduled = sum(gap.duration_ms for gap in gaps if gap.scheduled)
    return TimeSpent(timeline.duration_ms, running, database, queue, scheduled)


def database_rows(timeline: Timeline) -> Iterator[Mapping[str, Any]]:
    """The rows of pg_stat_requests in a timeline."""
    return (event.details for event in timeline.of_kind("database") if "total_time" in event.details)


def number(row: Mapping[str, Any], name: str) -> float:
    """A number in a row; 0 where it is missing or none."""
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
