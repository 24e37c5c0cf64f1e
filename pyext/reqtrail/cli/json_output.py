"""A trail as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from reqtrail.cli.timeline import Event, Gap
from reqtrail.cli.trail import Trail


def trail_json(trail: Trail) -> str:
    """The whole trail as one JSON object; times are RFC 3339, durations milliseconds."""
    timeline = trail.timeline
    value = {
        "request_id": trail.request_id,
        "found": trail.found,
        "start": timeline.start,
        "end": timeline.end,
        "duration_ms": timeline.duration_ms,
        "causes": [asdict(cause) for cause in trail.causes],
        "time_spent": {**asdict(trail.time_spent), "application_ms": trail.time_spent.application_ms},
        "events": [_event(event) for event in timeline.events],
        "gaps": [_gap(gap) for gap in timeline.gaps()],
        "statements": [asdict(statement) for statement in trail.statements],
        "sources": [asdict(source) for source in trail.sources],
    }
    return to_json(value)


def to_json(value: Any) -> str:
    """Any of our values as JSON: moments in RFC 3339, what JSON does not know as text."""
    return json.dumps(value, default=_as_text, indent=2)


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "name": event.name,
        "source": event.source,
        "start": event.start,
        "end": event.end,
        "duration_ms": event.duration_ms,
        "failed": event.failed,
        "running": event.running,
        "details": event.details,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"start": gap.start, "end": gap.end, "duration_ms": gap.duration_ms, "reason": gap.reason}


def _as_text(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
