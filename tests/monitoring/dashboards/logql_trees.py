"""What Grafana's own grammars say of a query."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from devstack.postgres_tree import REPOSITORY
from tests.monitoring.dashboards.panel_queries import PanelQuery

GRAMMARS = REPOSITORY / "build" / "grammars"
NODE = REPOSITORY / "build" / "venv" / "bin" / "node"
_VARIABLES = {
    **dict.fromkeys(("job", "endpoint", "task", "queue", "instance", "database", "service"), ".+"),
    **dict.fromkeys(("__rate_interval", "__range", "__auto"), "5m"),
    "__rate_interval_ms": "300000",
    "request_id": "0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1",
}


def filled_in(query: PanelQuery, **variables: str) -> str:
    """Return the text of a query, everything chosen but what `variables` choose."""
    return query.filled_in({**_VARIABLES, **variables})


def parsed(queries: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return for each language and text the places of errors and the nodes, each with its name and text."""
    asked = json.dumps([{"language": language, "text": text} for language, text in queries])
    answer = subprocess.run([NODE, GRAMMARS / "parse.mjs"], input=asked, capture_output=True, text=True, check=True)
    trees: list[dict[str, Any]] = json.loads(answer.stdout)
    return trees


def tree_of(query: PanelQuery, **variables: str) -> list[tuple[str, str]]:
    """Return the nodes of a query, in the order of its text."""
    [tree] = parsed([(query.language, filled_in(query, **variables))])
    return [(name, text) for name, text in tree["nodes"]]
