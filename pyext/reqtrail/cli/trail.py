"""Asks all sources at once, and puts together what they know of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reqtrail.cli.asking import ask_aside
from reqtrail.cli.causes import Cause, Limits, find_causes
from reqtrail.cli.sources import Found, Source, SourceError
from reqtrail.cli.sources.json_lines import begun_as_errors_say
from reqtrail.cli.time_spent import TimeSpent, time_spent
from reqtrail.cli.timeline import StatementTotal, Timeline, costliest_first

SOURCE_KINDS = {
    "dsn": "PostgreSQL",
    "logs": "log files",
    "loki": "Loki",
    "prometheus": "Prometheus",
    "metrics": "/metrics",
}
"""The option that names a source of this kind, and what people call it."""


@dataclass(frozen=True)
class SourceState:
    """How asking a source went."""

    kind: str
    name: str
    state: str
    """"read", "failed" or "not given"."""
    note: str
    events: int = 0


@dataclass(frozen=True)
class Trail:
    """All that is known about one request."""

    request_id: str
    timeline: Timeline
    statements: Sequence[StatementTotal]
    """The costliest first."""
    causes: Sequence[Cause]
    """The likeliest first."""
    time_spent: TimeSpent
    sources: Sequence[SourceState]

    @property
    def found(self) -> bool:
        """Whether any source knows the request."""
        return bool(self.timeline.events)

    @property
    def readable(self) -> bool:
        """Whether any source could be read."""
        return any(source.state == "read" for source in self.sources)


def gather(request_id: str, sources: Sequence[Source], limits: Limits) -> Trail:
    """Ask every source. One that fails is told of in the trail, and hides nothing of the others."""
    asked = [ask_aside(_ask, source, request_id) for source in sources]
    answers = [answer.result() for answer in asked]
    timeline = Timeline.of(begun_as_errors_say(event for found, _ in answers for event in found.events))
    statements = costliest_first(statement for found, _ in answers for statement in found.statements)
    given = {source.kind for source in sources}
    missing = [SourceState(kind, "", "not given", f"--{kind}") for kind in SOURCE_KINDS if kind not in given]
    return Trail(
        request_id,
        timeline,
        statements,
        find_causes(timeline, statements, limits),
        time_spent(timeline),
        [*(state for _, state in answers), *missing],
    )


def _ask(source: Source, request_id: str) -> tuple[Found, SourceState]:
    try:
        found = source.collect(request_id)
    except SourceError as error:
        return Found(), SourceState(source.kind, source.name, "failed", str(error))
    return found, SourceState(source.kind, source.name, "read", found.note, len(found.events))
