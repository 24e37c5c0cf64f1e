"""Writes the dashboards, or checks that they are as written.

usage: python -m monitoring.grafana.build [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import celery_deep_dive, database_performance, error_tracking, golden_signals

DIRECTORY = Path(__file__).resolve().parent / "dashboards"

DASHBOARDS: dict[str, Callable[[], Dashboard]] = {
    "golden-signals": golden_signals.dashboard,
    "error-tracking": error_tracking.dashboard,
    "database-performance": database_performance.dashboard,
    "celery-deep-dive": celery_deep_dive.dashboard,
}


def as_json(name: str) -> str:
    """Return the text of the file of one dashboard."""
    made = json.loads(json.dumps(DASHBOARDS[name](), cls=JSONEncoder))
    for variable in made["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):  # of intervals only, but the SDK writes them for every kind
            variable.pop(key, None)
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write all files, or with --check say which ones differ. Returns 1 if any does, 2 for a wrong usage."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = {DIRECTORY / f"{name}.json": as_json(name) for name in DASHBOARDS}
    if not arguments:
        for path, text in wanted.items():
            path.write_text(text)
        return 0
    written = {path: path.read_text() for path in DIRECTORY.glob("*.json")}
    for path in sorted(wanted.keys() | written.keys()):
        if wanted.get(path) != written.get(path):
            print(f"{path.name} differs: run python -m monitoring.grafana.build", file=sys.stderr)
    return int(wanted != written)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
