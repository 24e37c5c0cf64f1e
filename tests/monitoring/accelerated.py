"""The shipped rules and routes in fast motion: every duration in them divided by one factor, and nothing else.

Thresholds stay, also those that are times: a response is slow at one second, in fast motion too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring import shipped

FACTOR = 15  # a scrape and an evaluation every 15 s become one a second
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = r"(?:\d+[smhd])+"
# Ranges, offsets, and how far predict_linear looks ahead, in seconds.
_TIMES_OF_EXPRESSION = re.compile(rf"(?<=\[){_DURATION}(?=\])|(?<=offset ){_DURATION}|(?<=\], )\d+(?=\))")
_TIMES_OF_ROUTE = ("group_wait", "group_interval", "repeat_interval")


def faster(duration: str, factor: int = FACTOR) -> str:
    """The duration divided by the factor: "2m" is "8000ms"."""
    milliseconds = sum(int(number) * _MS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))
    return f"{milliseconds // factor}ms"


def _faster_expression(text: str, factor: int) -> str:
    def divided(found: re.Match[str]) -> str:
        time = found.group()
        return str(int(time) // factor) if time.isdigit() else faster(time, factor)

    return _TIMES_OF_EXPRESSION.sub(divided, text)


def faster_rule(rule: dict[str, Any], factor: int = FACTOR) -> dict[str, Any]:
    """A rule with shorter windows, and a shorter `for`. The queries in its annotations follow."""
    made = {**rule, "expr": _faster_expression(rule["expr"], factor)}
    if "for" in rule:
        made["for"] = faster(rule["for"], factor)
    if "annotations" in rule:
        made["annotations"] = {name: _faster_expression(text, factor) for name, text in rule["annotations"].items()}
    return made


def write_rules(folder: Path) -> Path:
    """Write all rule files into `folder`, faster, and return it."""
    folder.mkdir(parents=True)
    for file in shipped.RULE_FILES:
        groups = shipped.load(file)["groups"]
        made = [{**group, "rules": [faster_rule(rule) for rule in group["rules"]]} for group in groups]
        (folder / file.name).write_text(yaml.safe_dump({"groups": made}))
    return folder


def faster_route(route: dict[str, Any]) -> dict[str, Any]:
    """A route of Alertmanager and all below it, with shorter waits."""
    waits = {name: faster(route[name]) for name in _TIMES_OF_ROUTE if name in route}
    below = {"routes": [faster_route(child) for child in route["routes"]]} if "routes" in route else {}
    return {**route, **waits, **below}
