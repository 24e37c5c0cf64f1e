"""The configuration of Alertmanager: valid, and each alert sent where it belongs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring import shipped

RECEIVER_OF_SEVERITY = {"critical": "page", "warning": "chat", "none": "dead-mans-switch"}


def _run(*command: object) -> str:
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_amtool_takes_the_configuration() -> None:
    assert "1 templates" in _run("amtool", "check-config", shipped.ALERTMANAGER)


def test_amlint_finds_nothing_misrouted_unreachable_or_over_inhibited() -> None:
    assert "No issues found" in _run(Path(sys.executable).parent / "amlint", "check", shipped.ALERTMANAGER)


@pytest.mark.parametrize("rule", shipped.alerts(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_goes_to_the_receiver_of_its_severity(rule: dict[str, Any]) -> None:
    labels = [f"{name}={value}" for name, value in {"alertname": rule["alert"], **rule["labels"]}.items()]
    wanted = RECEIVER_OF_SEVERITY[rule["labels"]["severity"]]
    routes = ["config", "routes", "test", f"--config.file={shipped.ALERTMANAGER}"]
    _run("amtool", *routes, f"--verify.receivers={wanted}", *labels)


def test_an_alert_of_somebody_else_is_not_lost() -> None:
    routes = ["config", "routes", "test", f"--config.file={shipped.ALERTMANAGER}"]
    _run("amtool", *routes, "--verify.receivers=chat", "alertname=Unknown", "severity=odd")


def test_no_cause_silences_what_happens_elsewhere() -> None:
    for rule in shipped.load(shipped.ALERTMANAGER)["inhibit_rules"]:
        assert "env" in rule["equal"], rule


def test_the_alerts_that_are_silenced_and_that_silence_are_there() -> None:
    for rule in shipped.load(shipped.ALERTMANAGER)["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, operator, value = re.fullmatch(r'(\w+) (=~?) "?([^"]+)"?', matcher).groups()  # type: ignore[union-attr]
            if label != "alertname":
                continue
            for name in value.split("|") if operator == "=~" else [value]:
                assert any(re.fullmatch(name, known) for known in shipped.alert_names()), matcher


def test_secrets_stand_in_files() -> None:
    text = shipped.ALERTMANAGER.read_text()
    assert re.findall(r"^.*(?:password|api_url|token|credentials)\S*: .*$", text, re.MULTILINE)
    for line in re.findall(r"^.*(?:password|api_url|token|credentials)\S*: .*$", text, re.MULTILINE):
        assert re.search(r"_file: /run/secrets/\w+$", line), line
