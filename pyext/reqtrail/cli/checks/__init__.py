"""The steps of `reqtrail doctor`: one module for each part of an installation, from the database to the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """How one check ended."""

    part: str
    """What was looked at, such as "PostgreSQL db:5432/shop"."""
    check: str
    state: State
    told: str
    remedy: str = ""
    """How to mend it; of a skipped check, what to pass."""


@dataclass(frozen=True)
class Given:
    """What there is to look at."""

    probe_id: str
    """The request id of the doctor's own request and transactions."""
    dsns: Sequence[str] = ()
    api: str | None = None
    metrics: Sequence[str] = ()
    logs: Sequence[str] = ()
    loki: str | None = None
    loki_selector: str = ""
    loki_tenant: str | None = None
    prometheus: str | None = None
    alertmanager: str | None = None
    since: timedelta = timedelta(hours=24)


def verdict(part: str, check: str, passed: bool, told: str, remedy: str, *, else_state: State = "failed") -> Result:
    """A result that is ok or, with the remedy, `else_state`."""
    return Result(part, check, "ok", told) if passed else Result(part, check, else_state, told, remedy)


def skipped(part: str, checks: Sequence[str], what_to_pass: str) -> list[Result]:
    """The results of checks for which something was not given."""
    return [Result(part, check, "skipped", "not given", what_to_pass) for check in checks]
