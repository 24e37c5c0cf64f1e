"""A cause silences what follows from it, and nothing else, in a real Alertmanager."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from devstack.alertmanager import Alertmanager
from devstack.monitoring import alertmanager_configuration, without_receivers
from tests.waiting import wait_for

HOME, ELSEWHERE = "production", "staging"
API, OTHER_API = "backend", "shop"

# The cause, what would follow from it, and what does not: each with its labels besides the alert's name and severity.
CASES = [
    (("PostgresDown", {"job": "postgres"}), ("HighErrorRate", {"job": API}), ("CeleryWorkerDown", {})),
    (("PostgresDown", {"job": "postgres"}), ("ApplicationPoolExhausted", {"job": API}), ("DiskSpaceLow", {})),
    (("BackendDown", {"job": API}), ("SlowAPIResponses", {"job": API}), ("SlowAPIResponses", {"job": OTHER_API})),
    (("BackendDown", {"job": API}), ("TargetDown", {"job": API}), ("TargetDown", {"job": "node"})),
    (("CeleryWorkerDown", {}), ("CeleryQueueBacklog", {"queue": "celery"}), ("CeleryTaskOnlyFails", {"task": "t"})),
    (
        ("PostgresExporterDown", {"job": "postgres"}),
        ("TargetDown", {"job": "postgres"}),
        ("TargetDown", {"job": "node"}),
    ),
    (
        ("ErrorBudgetBurnFast", {"job": API}),
        ("ErrorBudgetBurnSlow", {"job": API}),
        ("ErrorBudgetBurnSlow", {"job": "x"}),
    ),
]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    configuration = without_receivers(alertmanager_configuration())
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), configuration) as running:
        yield running


def _fire(alertmanager: Alertmanager, *alerts: dict[str, str]) -> None:
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = urllib.request.Request(f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


def _silenced(alertmanager: Alertmanager, labels: dict[str, str]) -> bool | None:
    """None as long as Alertmanager has not made up its mind."""
    for alert in alertmanager.alerts():
        if alert["labels"] == labels and alert["status"]["state"] != "unprocessed":
            return bool(alert["status"]["inhibitedBy"])
    return None


def _await_silence(alertmanager: Alertmanager, labels: dict[str, str]) -> None:
    wait_for(lambda: _silenced(alertmanager, labels) is True, 60)


def _await_no_silence(alertmanager: Alertmanager, labels: dict[str, str]) -> None:
    wait_for(lambda: _silenced(alertmanager, labels) is False, 60)


@pytest.mark.parametrize(("cause", "follows", "other"), CASES, ids=lambda case: case[0])
def test_a_cause_silences_what_follows_in_its_environment_only(
    alertmanager: Alertmanager,
    cause: tuple[str, dict[str, str]],
    follows: tuple[str, dict[str, str]],
    other: tuple[str, dict[str, str]],
    request: pytest.FixtureRequest,
) -> None:
    # Environments of this case alone: the cases share an Alertmanager.
    home, elsewhere = (f"{environment}-{request.node.name}" for environment in (HOME, ELSEWHERE))

    def labels(alert: tuple[str, dict[str, str]], env: str, severity: str = "warning") -> dict[str, str]:
        return {"alertname": alert[0], "env": env, "severity": severity, **alert[1]}

    source = labels(cause, home, "critical")
    silenced, at_home, away = labels(follows, home), labels(other, home), labels(follows, elsewhere)
    _fire(alertmanager, source, silenced, at_home, away)
    _await_silence(alertmanager, silenced)
    for told in (source, at_home, away):
        _await_no_silence(alertmanager, told)


@pytest.mark.parametrize("elsewhere", [{"instance": "b:9100"}, {"mountpoint": "/data"}])
def test_of_one_disk_only_the_worse_is_told(alertmanager: Alertmanager, elsewhere: dict[str, str]) -> None:
    disk = {"alertname": "DiskSpaceLow", "env": str(elsewhere), "job": "node", "instance": "a:9100", "mountpoint": "/"}
    worse, same, other = (
        {**disk, "severity": "critical"},
        {**disk, "severity": "warning"},
        {**disk, "severity": "warning", **elsewhere},
    )
    _fire(alertmanager, worse, same, other)
    _await_silence(alertmanager, same)
    _await_no_silence(alertmanager, other)
