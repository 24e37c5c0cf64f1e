"""What Loki gets to know of a log line: the stages of promtail.yml carried out on it, and LogQL's filters on that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from devstack.postgres_tree import REPOSITORY

_PROMTAIL = yaml.safe_load((REPOSITORY / "monitoring/promtail/promtail.yml").read_text())
STAGES: dict[str, list[dict[str, Any]]] = {
    static["labels"]["service"]: config["pipeline_stages"]
    for config in _PROMTAIL["scrape_configs"]
    for static in config["static_configs"]
}
"""Service -> what promtail.yml does with its lines."""
_LINE_FILTERS: dict[str, Callable[[str, str], bool]] = {
    "|=": lambda line, wanted: wanted in line,
    "!=": lambda line, wanted: wanted not in line,
    "|~": lambda line, wanted: re.search(wanted, line) is not None,
    "!~": lambda line, wanted: re.search(wanted, line) is None,
}
_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "=~": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "!~": lambda value, wanted: re.fullmatch(wanted, value) is None,
}


@dataclass
class Collected:
    """A line with its labels and its structured metadata."""

    line: str
    labels: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


def collected(line: str, service: str) -> Collected:
    """Carry out the stages for the lines of a service."""
    made = Collected(line, {"service": service, "env": "test"})
    extracted: dict[str, str] = {}
    for stage in STAGES[service]:
        [(kind, options)] = stage.items()
        if kind == "json":
            fields = json.loads(line)
            extracted |= {name: str(fields[key]) for name, key in options["expressions"].items() if key in fields}
        elif kind == "regex":
            found = re.search(options["expression"], extracted.get(options["source"], ""))
            extracted |= found.groupdict() if found else {}
        elif kind == "labels":
            made.labels |= {name: extracted[name] for name in options if name in extracted}
        elif kind == "structured_metadata":
            made.metadata |= {name: extracted[name] for name in options if name in extracted}
        elif kind == "labelallow":
            made.labels = {name: value for name, value in made.labels.items() if name in options}
        elif kind != "timestamp":
            raise NotImplementedError(f"stage {kind}")
    return made


def selects(nodes: Sequence[tuple[str, str]], line: Collected) -> bool:
    """Whether a query selects a line: `nodes` are those of its parse tree, in the order of the text.

    Raises NotImplementedError for a kind of filter that no query has had so far, rather than pass it over.
    """
    fields = {**line.labels, **line.metadata}
    for name, text in nodes:
        if name == "Json":
            fields = {**{key: str(value) for key, value in json.loads(line.line).items()}, **fields}
        elif name == "LineFilter":
            line_filter = re.fullmatch(r'(\|=|!=|\|~|!~)\s*"(.*)"', text, re.DOTALL)
            if line_filter is None:
                raise NotImplementedError(f"filter {text}")
            operation, wanted = line_filter.groups()
            if not _LINE_FILTERS[operation](line.line, wanted):
                return False
        elif name == "Matcher":
            matcher = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"', text, re.DOTALL)
            if matcher is None:
                raise NotImplementedError(f"filter {text}")
            label, operation, value = matcher.groups()
            if not _OPERATIONS[operation](fields.get(label, ""), value):
                return False
    return True
