"""The rules of Prometheus: valid, complete, and each alert seen to fire and to keep quiet."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring import shipped

LINK = re.compile(r"{{ \$externalLabels\.(grafana_url|runbooks_url) }}/")
# Watchdog is there so that it always fires.
NEVER_QUIET = {"Watchdog"}


def _promtool(*arguments: str | Path) -> str:
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_promtool_takes_the_configuration() -> None:
    _promtool("check", "config", "--lint=all", "--lint-fatal", shipped.PROMETHEUS)


def test_promtool_finds_no_fault_in_the_rules() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", *shipped.RULE_FILES)


@pytest.mark.parametrize("file", shipped.UNIT_TESTS, ids=lambda file: file.stem)
def test_the_alerts_fire_when_they_should_and_say_what_is_wrong(file: Path) -> None:
    _promtool("test", "rules", file)


def _cases(name: str) -> list[dict[str, Any]]:
    groups = [group for file in shipped.UNIT_TESTS for group in shipped.load(file)["tests"]]
    return [case for group in groups for case in group["alert_rule_test"] if case["alertname"] == name]


@pytest.mark.parametrize("name", shipped.alert_names())
def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not(name: str) -> None:
    assert any(case["exp_alerts"] for case in _cases(name)), "no case where it fires"
    if name not in NEVER_QUIET:
        assert any(not case["exp_alerts"] for case in _cases(name)), "no case where it keeps quiet"


@pytest.mark.parametrize("rule", shipped.alerts(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_says_what_whoever_gets_it_needs(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert rule["labels"]["component"] in ("api", "worker", "database", "host", "instruments")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert len(notes["summary"]) <= 100
    assert LINK.sub("", notes["runbook_url"]) == f"{rule['alert']}.md"
    assert re.match(LINK.pattern + r"d/reqtrail-[a-z-]+(\?|$)", notes["dashboard_url"])
    if "$value" in notes["description"]:
        assert re.search(r"\$value \| (humanize\w*|printf)", notes["description"])


def _seconds(duration: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def worst_case_seconds(name: str) -> int:
    """How long it takes at most from the beginning of a lasting trouble to the message about it.

    The trouble begins just after a scrape, and needs a second one to be seen as an increase; fills its window to the
    last sample; is evaluated just after that; lasts for `for`; and joins a group that Alertmanager has just reported.
    """
    settings = shipped.load(shipped.PROMETHEUS)["global"]
    rule = shipped.alert(name)
    windows = [_seconds(window) for window in re.findall(r"\[(\w+)\]", rule["expr"])]
    route = next(route for route in shipped.load(shipped.ALERTMANAGER)["route"]["routes"] if "critical" in str(route))
    scrape, evaluation = _seconds(settings["scrape_interval"]), _seconds(settings["evaluation_interval"])
    wait = max(_seconds(route["group_wait"]), _seconds(route["group_interval"]))
    return max(windows, default=0) + 2 * scrape + evaluation + _seconds(rule.get("for", "0s")) + wait


@pytest.mark.parametrize(
    "name",
    [
        "HighErrorRate",
        "BackendDown",
        "ApplicationPoolExhausted",
        "CeleryWorkerDown",
        "DatabasePoolExhausted",
        "PostgresDown",
        "PostgresExporterDown",
    ],
)
def test_a_critical_condition_reaches_the_receiver_in_less_than_five_minutes(name: str) -> None:
    assert shipped.alert(name)["labels"]["severity"] == "critical"
    assert worst_case_seconds(name) < 300
    [row] = re.findall(rf"^\| {name} \|.*$", (shipped.RUNBOOKS.parent / "alert-tuning.md").read_text(), re.MULTILINE)
    assert row.endswith(f"| {worst_case_seconds(name)} s |")
