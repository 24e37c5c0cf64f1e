"""What is known about one request, in the order of time: the model that every source fills and every output reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

Kind = Literal["request", "task", "database", "statement", "lock", "error", "log", "exemplar"]

_ORDER: dict[str, int] = {
    "request": 0,
    "task": 1,
    "database": 2,
    "statement": 3,
    "lock": 4,
    "error": 5,
    "log": 6,
    "exemplar": 7,
}
_MIN_GAP = timedelta(milliseconds=1)
_SAME_MOMENT = timedelta(milliseconds=20)


@dataclass(frozen=True)
class Event:
    """Something that happened for the request: a span of time, or a moment."""

    kind: Kind
    name: str
    """One line for a person."""
    source: str
    """Where it is known from."""
    start: datetime
    """With a time zone, as `end`."""
    end: datetime | None = None
    """None for a moment."""
    failed: bool = False
    running: bool = False
    """It had not ended when it was seen; `end` is then that moment."""
    details: Mapping[str, Any] = field(default_factory=dict)
    due: datetime | None = None
    """Before which a task was not to start: it was published with a countdown or an ETA, or is a retry with a delay."""

    @property
    def duration_ms(self) -> float | None:
        """How long it took, in milliseconds; None for a moment."""
        return None if self.end is None else milliseconds(self.end - self.start)

    @property
    def likeness(self) -> tuple[object, ...]:
        """What two events have in common if they may be the same one, told by two sources.

        A server's log and its views have the same errors and statements; the views cut their texts.
        """
        if self.kind in ("error", "statement") and isinstance(self.details.get("pid"), int):
            return self.kind, self.details["pid"]
        return self.kind, self.name, self.start, self.end

    def is_told_by(self, other: Event) -> bool:
        """Whether one of the same likeness is the same event."""
        same_text = self.name.startswith(other.name) or other.name.startswith(self.name)
        return same_text and abs(self.last - other.last) <= _SAME_MOMENT

    @property
    def last(self) -> datetime:
        """When it ended, or happened."""
        return self.end or self.start


@dataclass(frozen=True)
class StatementTotal:
    """What one statement cost the request in all its calls."""

    queryid: int | None
    calls: int
    total_ms: float
    max_ms: float
    rows: int
    text: str | None
    """The normalised text, where pg_stat_statements knows it."""


def costliest_first(statements: Iterable[StatementTotal]) -> list[StatementTotal]:
    """Sort what the sources found; what two databases of one server told alike is in it once, with its text."""
    once: dict[StatementTotal, StatementTotal] = {}
    for statement in statements:
        alike = replace(statement, text=None)
        if alike not in once or once[alike].text is None:
            once[alike] = statement
    return sorted(once.values(), key=lambda statement: statement.total_ms, reverse=True)


@dataclass(frozen=True)
class Gap:
    """A time in which neither the request nor a task of it ran."""

    start: datetime
    end: datetime
    before: Event
    """What ended last before it."""
    after: Event
    """What ended it."""
    scheduled: bool = False
    """The task that ended it was to start later (a countdown, an ETA, the delay of a retry): nothing was late."""
    retried: Event | None = None
    """The run before of the same task, where that ended in RETRY. Others may have run since."""

    @property
    def duration_ms(self) -> float:
        """In milliseconds."""
        return milliseconds(self.end - self.start)

    @property
    def reason(self) -> str:
        """What was waited for, as far as is known."""
        if self.after.kind != "task":
            return "nothing is known of this time"
        task = self.after.details.get("task", "the task")
        if self.is_of_retry:
            return f"until the retry of {task}"
        if self.scheduled:
            return f"{task} was scheduled for later"
        return f"in the queue: {task} was not started yet"

    @property
    def is_of_retry(self) -> bool:
        """Whether a task waited for its next run, as far as is known: it may have been in the queue in part."""
        return self.retried is not None and (self.scheduled or self.after.due is None)


@dataclass(frozen=True)
class Timeline:
    """All events of a request, the earliest first."""

    events: Sequence[Event]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Timeline:
        """Sort what the sources found; what two of them told alike is in it once, with the details of both."""
        alike: dict[tuple[object, ...], list[Event]] = {}
        for event in sorted(events, key=lambda event: (event.start, _ORDER[event.kind])):
            others = alike.setdefault(event.likeness, [])
            twin = next((number for number, other in enumerate(others) if event.is_told_by(other)), None)
            if twin is None:
                others.append(event)
            else:
                others[twin] = replace(others[twin], details={**event.details, **others[twin].details})
        kept = [event for others in alike.values() for event in others]
        return cls(sorted(kept, key=lambda event: (event.start, _ORDER[event.kind])))

    def of_kind(self, *kinds: Kind) -> list[Event]:
        """The events of these kinds."""
        return [event for event in self.events if event.kind in kinds]

    @property
    def placed(self) -> list[Event]:
        """The events whose time is that of the request. An exemplar's may be when it was scraped."""
        return [event for event in self.events if event.kind != "exemplar"]

    @property
    def start(self) -> datetime | None:
        """When the first of them began; None without any."""
        return min((event.start for event in self.placed), default=None)

    @property
    def end(self) -> datetime | None:
        """When the last of them ended; None without any."""
        return max((event.last for event in self.placed), default=None)

    @property
    def duration_ms(self) -> float:
        """From the first to the last, in milliseconds."""
        return milliseconds(self.end - self.start) if self.start and self.end else 0.0

    def gaps(self) -> list[Gap]:
        """The times between the request and its tasks in which none of them ran, from 1 ms on."""
        found: list[Gap] = []
        before: Event | None = None
        retried: dict[str, Event] = {}
        for event in sorted(self.of_kind("request", "task"), key=lambda span: span.start):
            if event.end is None:
                continue
            task_id = event.details.get("task_id")
            if before is not None:
                found += _gaps_between(before, event, retried.get(str(task_id)))
            if task_id is not None and event.details.get("state") == "RETRY":
                retried[str(task_id)] = event
            if before is None or event.end > before.last:
                before = event
        return found


def _gaps_between(before: Event, after: Event, retried: Event | None) -> list[Gap]:
    """The time between two spans: that until the second one was due, then the rest."""
    start, end = before.last, after.start
    due = min(max(after.due or start, start), max(start, end))
    gaps = [
        Gap(start, due, before, after, scheduled=True, retried=retried),
        Gap(due, end, before, after, retried=retried),
    ]
    return [gap for gap in gaps if gap.end - gap.start >= _MIN_GAP]


def milliseconds(time: timedelta) -> float:
    """The length of a time in milliseconds."""
    return time / timedelta(milliseconds=1)
