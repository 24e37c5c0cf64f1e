"""The log lines that the servers of the watched application wrote, as Loki gets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.monitoring.dashboards.collected import Collected, collected
from tests.monitoring.dashboards.watched_application import WatchedApplication


def lines_of(watched: WatchedApplication) -> Iterator[Collected]:
    """Yield the finished JSON lines of the API, the worker and PostgreSQL."""
    files: list[tuple[str, Path]] = [(service, watched.stack.log(service)) for service in ("api", "worker")]
    files += [("postgres", path) for path in sorted((watched.stack.postgres.data / "log").glob("*.json"))]
    for service, path in files:
        text = path.read_text(errors="replace")
        for line in text[: text.rfind("\n") + 1].splitlines():
            if line.startswith("{"):
                yield collected(line, service)
