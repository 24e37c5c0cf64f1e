"""The queries of all panels, as the dashboards' files have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from devstack.postgres_tree import REPOSITORY

DIRECTORY = REPOSITORY / "monitoring" / "grafana" / "dashboards"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.json"))

Language = Literal["promql", "logql", "sql"]
_LANGUAGES: dict[str, Language] = {"prometheus": "promql", "loki": "logql", "grafana-postgresql-datasource": "sql"}
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|(?P<bare>\w+))")


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref_id: str
    language: Language
    text: str
    target: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}/{self.ref_id}"

    @property
    def instant(self) -> bool:
        """Whether it asks for one moment, not for a range."""
        return bool(self.target.get("instant"))

    def filled_in(self, values: Mapping[str, str]) -> str:
        """The text as Grafana sends it, with `values` for its variables.

        Raises:
            KeyError: It has a variable without a value.
        """

        def value(found: re.Match[str]) -> str:
            name = found["braced"] or found["bare"]
            if name.isdigit():  # a group of label_replace
                return found[0]
            if found["format"] == "sqlstring":
                return "'" + values[name].replace("'", "''") + "'"
            return values[name]

        return _VARIABLE.sub(value, self.text)


def load(name: str) -> dict[str, Any]:
    """Return a dashboard."""
    dashboard: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return dashboard


def panels_of(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something: not the rows' headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries_of(name: str) -> Iterator[PanelQuery]:
    """Yield the queries of a dashboard in the order of its panels."""
    for panel in panels_of(load(name)):
        for target in panel["targets"]:
            language = _LANGUAGES[target["datasource"]["type"]]
            text = target["rawSql" if language == "sql" else "expr"]
            yield PanelQuery(name, panel["title"], target["refId"], language, text, target)


ALL = [query for name in NAMES for query in queries_of(name)]
"""Every query of every dashboard."""


def variables_in(text: str) -> set[str]:
    """Return the names of the variables in a text of a dashboard."""
    found = (match["braced"] or match["bare"] for match in _VARIABLE.finditer(text))
    return {name for name in found if not name.isdigit()}


def path_of(name: str) -> Path:
    """Return the file of a dashboard."""
    return DIRECTORY / f"{name}.json"
