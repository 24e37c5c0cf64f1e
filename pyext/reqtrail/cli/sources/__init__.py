"""Where a trail is gathered from: one module for each kind of source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reqtrail.cli.timeline import Event, StatementTotal


class SourceError(Exception):
    """A source could not be read. The message says why, and where it can, what to do."""


@dataclass(frozen=True)
class Found:
    """What a source knows about a request."""

    events: Sequence[Event] = ()
    statements: Sequence[StatementTotal] = ()
    note: str = ""
    """How much was looked at, and what was missing there."""


class Source(Protocol):
    """Something that can be asked about a request id."""

    @property
    def kind(self) -> str:
        """The option that names such a source."""

    @property
    def name(self) -> str:
        """Which one it is, without passwords."""

    def collect(self, request_id: str) -> Found:
        """Return what it knows. Raises SourceError."""
