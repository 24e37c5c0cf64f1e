"""Do Loki, Prometheus and Alertmanager have what the trail and the alerts need?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from reqtrail.cli.checks import Given, Result, skipped, verdict
from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.http_api import get_json, shown
from reqtrail.cli.sources.loki import LokiSource
from reqtrail.cli.sources.prometheus import DEFAULT_SELECTOR, EXEMPLAR_LABEL

_STORAGE = "exemplar-storage"
_SERIES = "http_requests_total"


def check_loki(given: Given) -> Iterator[Result]:
    """Look for any line with a request id."""
    if given.loki is None:
        yield from skipped("Loki", ("has lines",), "--loki")
        return
    part = f"Loki {shown(given.loki)}"
    source = LokiSource(given.loki, given.since, selector=given.loki_selector, tenant=given.loki_tenant)
    try:
        lines = source.count_lines('|= "request_id"')
    except SourceError as error:
        yield Result(part, "has lines", "failed", str(error), "See its address, --loki-selector and --loki-tenant.")
        return
    told = f"{lines} lines with a request_id" if lines else f"no line with a request_id matches {given.loki_selector}"
    yield verdict(part, "has lines", lines > 0, told, "See --loki-selector, and the agent that ships the logs.")


def check_prometheus(given: Given) -> Iterator[Result]:
    """Ask for targets, exemplars, rules and where alerts are sent."""
    if given.prometheus is None:
        yield from skipped("Prometheus", ("scrapes", "exemplars", "rules", "sends alerts"), "--prometheus")
        return
    part = f"Prometheus {shown(given.prometheus)}"
    try:
        yield _scrapes(part, given.prometheus)
        yield _exemplars(part, given.prometheus, given.since)
        yield _rules(part, given.prometheus)
        yield _sends_alerts(part, given.prometheus)
    except SourceError as error:
        yield Result(part, "scrapes", "failed", str(error), "See that it runs, and its address.")
    except (KeyError, TypeError, AttributeError) as error:
        told = f"it does not answer as Prometheus does ({type(error).__name__})"
        yield Result(part, "scrapes", "failed", told, "See its address.")


def _api(url: str, path: str, **parameters: str) -> Any:
    return get_json(url, f"/api/v1/{path}", parameters=parameters)["data"]


def _scrapes(part: str, url: str) -> Result:
    jobs = [
        entry["metric"].get("job", "") for entry in _api(url, "query", query=f"count by (job) ({_SERIES})")["result"]
    ]
    if jobs:
        return Result(part, "scrapes", "ok", f"it has {_SERIES} of {', '.join(sorted(jobs))}")
    targets = _api(url, "targets", state="active")["activeTargets"]
    down = [
        f"{target['scrapeUrl']}: {target.get('lastError', '')}" for target in targets if target.get("health") == "down"
    ]
    told = f"it has no {_SERIES}" + (f"; {'; '.join(down)}" if down else f" from its {len(targets)} targets")
    if any(target.get("health") == "unknown" for target in targets):
        return Result(part, "scrapes", "failed", f"{told}, of which some were not scraped yet", "Wait, and ask again.")
    return Result(part, "scrapes", "failed", told, "Add the API's address to a scrape job, as in docs/metrics.md.")


def _exemplars(part: str, url: str, since: timedelta) -> Result:
    now = datetime.now(timezone.utc)
    window = {"start": str((now - since).timestamp()), "end": str(now.timestamp())}
    series = _api(url, "query_exemplars", query=DEFAULT_SELECTOR, **window)
    tagged = [one for one in series if any(EXEMPLAR_LABEL in exemplar["labels"] for exemplar in one["exemplars"])]
    if tagged:
        return Result(part, "exemplars", "ok", f"{len(tagged)} series have a request id")
    features = _api(url, "status/flags").get("enable-feature", "")
    if _STORAGE not in features:
        return Result(
            part, "exemplars", "failed", "it stores no exemplars", f"Start it with --enable-feature={_STORAGE}."
        )
    remedy = "Wait for a scrape after a request; the target must offer OpenMetrics (see the check of /metrics)."
    return Result(part, "exemplars", "failed", "its storage is on, but there is no exemplar with a request id", remedy)


def _rules(part: str, url: str) -> Result:
    groups = _api(url, "rules", type="alert")["groups"]
    count = sum(len(group["rules"]) for group in groups)
    remedy = "Name the project's alert rules in rule_files of prometheus.yml."
    return verdict(part, "rules", count > 0, f"{count} alert rules", remedy, else_state="warning")


def _sends_alerts(part: str, url: str) -> Result:
    active = [entry["url"] for entry in _api(url, "alertmanagers")["activeAlertmanagers"]]
    told = f"to {', '.join(active)}" if active else "it knows no Alertmanager"
    remedy = "Add the Alertmanager to `alerting:` in prometheus.yml."
    return verdict(part, "sends alerts", bool(active), told, remedy, else_state="warning")


def check_alertmanager(given: Given) -> Iterator[Result]:
    """Look at the route and the receivers of its configuration."""
    if given.alertmanager is None:
        yield from skipped("Alertmanager", ("ready", "receiver"), "--alertmanager")
        return
    part = f"Alertmanager {shown(given.alertmanager)}"
    try:
        status = get_json(given.alertmanager, "/api/v2/status")
        configuration = str(status["config"]["original"])
        version = status["versionInfo"]["version"]
    except (SourceError, KeyError, TypeError) as error:
        told = str(error) if isinstance(error, SourceError) else "it does not answer as Alertmanager does"
        yield Result(part, "ready", "failed", told, "See that it runs, and its address.")
        return
    yield Result(part, "ready", "ok", f"version {version}")
    ways = sorted(set(re.findall(r"\b([a-z]+)_configs:", configuration)))
    told = f"it notifies by {', '.join(ways)}" if ways else "no receiver of it notifies anybody"
    remedy = "Give the receiver of the route a slack_configs, email_configs or webhook_configs in alertmanager.yml."
    yield verdict(part, "receiver", bool(ways), told, remedy)
