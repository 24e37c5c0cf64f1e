"""The files of monitoring/, as these tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from devstack.postgres_tree import REPOSITORY

PROMETHEUS = REPOSITORY / "monitoring" / "prometheus" / "prometheus.yml"
RULE_FILES = sorted((REPOSITORY / "monitoring" / "prometheus" / "rules").glob("*.yml"))
ALERTMANAGER = REPOSITORY / "monitoring" / "alertmanager" / "alertmanager.yml"
UNIT_TESTS = sorted((Path(__file__).parent / "rules").glob("*.yml"))
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
# The alerts whose trouble test_incidents.py makes, with the labels that tell them apart.
TROUBLES: dict[str, dict[str, str]] = {
    "HighErrorRate": {"endpoint": "/api/v1/repositories/{id}/sync", "job": "backend", "severity": "critical"},
    "DatabasePoolExhausted": {"job": "postgres", "severity": "critical"},
    "SlowAPIResponses": {"handler": "/api/v1/repositories/commits", "severity": "warning"},
    "CeleryWorkerDown": {"severity": "critical"},
    "DiskSpaceLow": {"mountpoint": "/data", "severity": "critical"},
}


def load(file: Path) -> Any:
    """What a YAML file says."""
    return yaml.safe_load(file.read_text())


def rules() -> list[dict[str, Any]]:
    """Every rule of every file, as written."""
    return [rule for file in RULE_FILES for group in load(file)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The rules that are alerts."""
    return [rule for rule in rules() if "alert" in rule]


def alert_names() -> list[str]:
    """The name of each alert, once."""
    return sorted({alert["alert"] for alert in alerts()})


def alert(name: str) -> dict[str, Any]:
    """The first alert of this name."""
    return next(rule for rule in alerts() if rule["alert"] == name)


def severity(rule: dict[str, Any]) -> str:
    """How bad it is: "critical", "warning" or "none"."""
    return str(rule["labels"]["severity"])
