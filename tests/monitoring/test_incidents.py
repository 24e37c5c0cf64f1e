"""Troubles in the running example: the shipped rules see them, the alerts arrive with the right links, and end.

In fast motion (see accelerated.py): durations are a fifteenth of what they are for users.
"""

import contextlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.postgres_tree import REPOSITORY
from tests.monitoring import quiet_hour, shipped
from tests.monitoring.accelerated import faster_rule
from tests.monitoring.incident import SLACK_PATH, SMTP_PASSWORD, WEBHOOK_TOKEN, Incident
from tests.monitoring.load import Load
from tests.monitoring.selectors import selectors
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(400)

LONG = 120
SYNC = shipped.TROUBLES["HighErrorRate"]["endpoint"]
CRITICAL = sorted(name for name, labels in shipped.TROUBLES.items() if labels["severity"] == "critical")
# Selectors that find nothing here, and why.
NOT_HERE = {
    'node_filesystem_avail_bytes{mountpoint=~"/loki|/var/lib/loki"}': "no Loki with a disk of its own runs here",
    'node_filesystem_avail_bytes{mountpoint=~"/var/lib/docker|/var/lib/docker/volumes"}': "no Docker runs here",
}


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    with contextlib.ExitStack() as ends:
        yield Incident(tmp_path_factory.mktemp("incident"), ends)


def _firing(incident: Incident) -> set[str]:
    return {s["metric"]["alertname"] for s in incident.prometheus.query('ALERTS{alertstate="firing"}')} - {"Watchdog"}


@pytest.fixture(scope="module")
def recorded(incident: Incident) -> dict[str, list[float]]:
    """Half a minute of normal load, before the troubles."""
    needed = f'count(http_requests_total{{status="202"}} offset {quiet_hour.RECORDED_SECONDS}s)'
    wait_for(lambda: bool(incident.prometheus.query(needed)), LONG)
    assert _firing(incident) == set()
    return quiet_hour.record(incident.prometheus)


@pytest.fixture(scope="module")
def troubles(incident: Incident, recorded: dict[str, list[float]]) -> Iterator[contextlib.ExitStack]:
    """All troubles at once; they end with what is yielded."""
    incident.fail_tasks()
    incident.lose_log_lines()
    wait_for(lambda: bool(incident.prometheus.query('celery_tasks_total{state="FAILURE"}')), LONG)
    with contextlib.ExitStack() as all_of_them:
        all_of_them.enter_context(incident.failing_updates())
        all_of_them.enter_context(incident.blocked_table())
        all_of_them.enter_context(Load(incident.stack.url, [("GET", "/api/v1/repositories/commits")]))
        all_of_them.enter_context(incident.many_connections())
        all_of_them.enter_context(incident.stopped_worker())
        all_of_them.enter_context(incident.full_disks())
        yield all_of_them


def test_a_quiet_hour_raises_no_alert(recorded: dict[str, list[float]], tmp_path: Path) -> None:
    unit_test = quiet_hour.write_unit_test(recorded, tmp_path)
    run = subprocess.run(["promtool", "test", "rules", unit_test], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def _arrived(incident: Incident, name: str, status: str) -> list[dict[str, Any]]:
    alerts = incident.sinks.webhook_alerts(name, status)
    return [alert for alert in alerts if shipped.TROUBLES[name].items() <= alert["labels"].items()]


@pytest.mark.parametrize("name", CRITICAL)
def test_a_critical_trouble_reaches_the_webhook(name: str, incident: Incident, troubles: contextlib.ExitStack) -> None:
    wait_for(lambda: bool(_arrived(incident, name, "firing")), LONG)
    assert all(
        post.authorization == f"Bearer {WEBHOOK_TOKEN}" for post in incident.sinks.posts if post.path == "/alerts"
    )


def _title(name: str) -> str:
    return {
        "HighErrorRate": f"Error rate > 5 % on {SYNC}",
        "DatabasePoolExhausted": "More than 80 % of PostgreSQL's connections are in use",
        "SlowAPIResponses": "Slow responses on /api/v1/repositories/commits: 95th percentile > 1 s",
        "CeleryWorkerDown": "No Celery worker is up",
        "DiskSpaceLow": "Less than 5 % of ",
    }[name]


@pytest.mark.parametrize("name", shipped.TROUBLES)
def test_every_trouble_reaches_slack_with_its_links(
    name: str, incident: Incident, troubles: contextlib.ExitStack
) -> None:
    def messages() -> list[dict[str, Any]]:
        return [m for m in incident.sinks.slack_messages("[FIRING") if _title(name) in m["title"]]

    wait_for(lambda: bool(messages()), LONG)
    message = messages()[0]
    assert message["color"] == ("danger" if name in CRITICAL else "warning")
    dashboard, runbook = (button["url"] for button in message["actions"])
    assert message["title_link"] == dashboard
    _opens_a_dashboard(dashboard)
    _opens_the_runbook(runbook, name)


def _opens_a_dashboard(link: str) -> None:
    found = re.match(r"http://localhost:3000/d/([\w-]+)", link)
    assert found is not None, link
    boards = (REPOSITORY / "monitoring" / "grafana" / "dashboards").glob("*.json")
    assert found.group(1) in {json.loads(board.read_text())["uid"] for board in boards}


def _opens_the_runbook(link: str, name: str) -> None:
    with urllib.request.urlopen(link, timeout=30) as response:
        assert response.read().decode().startswith(f"# {name}\n")


def test_the_failing_endpoints_are_named(incident: Incident, troubles: contextlib.ExitStack) -> None:
    wait_for(lambda: bool(incident.sinks.slack_messages(f"[FIRING] {_title('HighErrorRate')}")), LONG)
    text = incident.sinks.slack_messages(f"[FIRING] {_title('HighErrorRate')}")[0]["text"]
    assert f"*{SYNC}*: " in text
    assert re.search(r"\d+(\.\d+)?% of the requests .* failed", text)
    assert re.search(r"Errors per second: \w*IntegrityError \d+\.\d\d", text)


@pytest.mark.parametrize("name", CRITICAL)
def test_a_critical_trouble_reaches_the_mailbox(name: str, incident: Incident, troubles: contextlib.ExitStack) -> None:
    wait_for(lambda: any(_title(name) in str(mail["Subject"]) for mail in incident.sinks.mails_about("[FIRING")), LONG)
    mail = next(mail for mail in incident.sinks.mails_about("[FIRING") if _title(name) in str(mail["Subject"]))
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        body = part.get_content()
        assert _title(name)[:20].replace("'", "") in body.replace("&gt;", ">").replace("&#39;", "").replace("'", "")
        assert "http://localhost:3000/d/reqtrail-" in body
        assert f"/runbooks/{name}.md" in body
    assert ("alerts@example.com", SMTP_PASSWORD) in incident.sinks.logins


def test_the_watchdog_reaches_its_own_receiver_only(incident: Incident, troubles: contextlib.ExitStack) -> None:
    wait_for(lambda: any(post.path == "/watchdog" for post in incident.sinks.posts), LONG)
    for post in incident.sinks.posts:
        if post.path == SLACK_PATH:
            assert "Alerting works" not in str(post.body)
        else:
            names = {alert["labels"]["alertname"] for alert in post.body["alerts"]}
            assert ("Watchdog" in names) == (post.path == "/watchdog")


def test_every_selector_of_every_rule_finds_series(incident: Incident, troubles: contextlib.ExitStack) -> None:
    read = set().union(*(selectors(rule["expr"]) for rule in shipped.rules()))
    assert read >= NOT_HERE.keys()

    def silent() -> list[str]:
        found = incident.prometheus.query
        return [selector for selector in read - NOT_HERE.keys() if not found(f"last_over_time({selector}[5m])")]

    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not silent(), LONG)
    assert silent() == []


def test_prometheus_evaluates_every_rule_without_a_fault(incident: Incident, troubles: contextlib.ExitStack) -> None:
    wait_for(lambda: all(rule["health"] != "unknown" for rule in incident.prometheus.rules()), LONG)
    assert [
        (rule["name"], rule.get("lastError")) for rule in incident.prometheus.rules() if rule["health"] != "ok"
    ] == []
    assert len(incident.prometheus.rules()) == len(shipped.rules())
    for rule in shipped.rules():
        incident.prometheus.query(faster_rule(rule)["expr"])


@pytest.mark.parametrize("name", CRITICAL)
def test_the_end_of_a_trouble_is_told_everywhere(name: str, incident: Incident, troubles: contextlib.ExitStack) -> None:
    troubles.close()
    wait_for(lambda: bool(_arrived(incident, name, "resolved")), LONG)
    resolved = "[RESOLVED]"
    wait_for(lambda: any(_title(name) in m["title"] for m in incident.sinks.slack_messages(resolved)), LONG)
    wait_for(lambda: any(_title(name) in str(mail["Subject"]) for mail in incident.sinks.mails_about(resolved)), LONG)


def test_the_end_of_a_slow_hour_is_told_in_slack(incident: Incident, troubles: contextlib.ExitStack) -> None:
    troubles.close()
    wait_for(
        lambda: any(_title("SlowAPIResponses") in m["title"] for m in incident.sinks.slack_messages("[RESOLVED]")), LONG
    )


def test_all_troubles_are_over_and_the_database_has_come_to_no_harm(
    incident: Incident, troubles: contextlib.ExitStack
) -> None:
    troubles.close()
    wait_for(lambda: _firing(incident).isdisjoint(shipped.TROUBLES), LONG)
    assert incident.stack.postgres.fatal_log_lines() == []
