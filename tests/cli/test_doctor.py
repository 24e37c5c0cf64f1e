"""`reqtrail doctor`: a whole installation passes; each fault is found, with how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from devstack.postgres import Postgres
from devstack.process import free_port
from tests.cli.command import Command, Done
from tests.cli.conftest import Site
from tests.cli.fake_loki import FakeLoki
from tests.cli.json_server import JsonServer


def states(done: Done) -> dict[str, str]:
    """State by "part check", the part without its address."""
    return {f"{check['part'].split()[0]} {check['check']}": check["state"] for check in done.json["checks"]}


def remedy(done: Done, check: str) -> str:
    [found] = [
        one["remedy"] for one in done.json["checks"] if one["check"] == check and one["state"] in ("warning", "failed")
    ]
    return str(found)


def test_a_whole_installation_passes(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    client.post("/api/v1/repositories/8/sync")
    everything = ("--dsn", site.dsn, "--api", f"{site.stack.url}/health", *site.application_logs)
    monitoring = ("--prometheus", site.prometheus.url, "--alertmanager", site.alertmanager.url)
    # Prometheus knows an exemplar after its next scrape, the worker's log the task after its end.
    done = run_until(
        lambda done: set(states(done).values()) == {"ok", "skipped"}, "doctor", *everything, *monitoring, "--json"
    )
    assert done.code == 0
    assert done.json["passed"] is True
    found = states(done)
    assert [name for name, state in found.items() if state == "skipped"] == ["Loki has lines"]
    assert len(found) >= 22
    text = run_until(lambda done: done.code == 0, "doctor", *everything).out
    assert "pass --alertmanager" in text
    assert "a tagged transaction was recorded" in text
    assert " failed" not in text


def test_a_server_without_the_library(tmp_path: Path, run: Command) -> None:
    with Postgres(tmp_path / "bare", settings={"shared_preload_libraries": ""}) as server:
        done = run("doctor", "--dsn", server.dsn(), "--json")
        assert done.code == 1
        assert states(done)["PostgreSQL preloaded"] == "failed"
        assert "shared_preload_libraries" in remedy(done, "preloaded")
        assert "CREATE EXTENSION" in remedy(done, "created")


def test_a_role_without_rights(site: Site, run: Command) -> None:
    done = run("doctor", "--dsn", site.stack.postgres.dsn("commandcenter", "commandcenter"), "--json")
    assert done.code == 1
    assert states(done)["PostgreSQL rights"] == "failed"
    assert remedy(done, "rights") == 'GRANT pg_read_all_stats TO "commandcenter";'
    assert states(done)["PostgreSQL records"] == "ok"


def test_a_database_without_the_extension(site: Site, run: Command) -> None:
    done = run("doctor", "--dsn", site.stack.postgres.dsn("template1"), "--json")
    assert remedy(done, "created") == "In database template1: CREATE EXTENSION pg_stat_requests;"


def test_nobody_answers(run: Command) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    dsn = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    options = ("--api", "--loki", "--prometheus", "--alertmanager")
    done = run(
        "doctor", "--dsn", dsn, "--logs", "none.log", *(part for one in options for part in (one, nobody)), "--json"
    )
    assert done.code == 1
    assert set(states(done).values()) == {"failed"}
    assert all(check["remedy"] for check in done.json["checks"])
    assert "secret" not in done.out


@pytest.fixture
def plain_server() -> Iterator[str]:
    """A server without instruments, which has an Alertmanager's status."""
    status = {"config": {"original": "route: {receiver: nobody}"}, "versionInfo": {"version": "0.25"}}
    with JsonServer({"/": {}, "/metrics": {}, "/api/v2/status": status}) as server:
        yield server.url


def test_an_api_without_instruments(plain_server: str, run: Command) -> None:
    done = run("doctor", "--api", plain_server, "--json")
    assert done.code == 1
    found = states(done)
    assert (found["API header echoed"], found["API bad id replaced"]) == ("failed", "failed")
    assert found["metrics OpenMetrics"] == "failed"
    assert "reqtrail.install(app)" in remedy(done, "header echoed")


def test_an_alertmanager_that_notifies_nobody(plain_server: str, run: Command) -> None:
    done = run("doctor", "--alertmanager", plain_server, "--json")
    assert states(done)["Alertmanager receiver"] == "failed"
    assert "slack_configs" in remedy(done, "receiver")


def test_a_prometheus_that_stores_no_exemplars(run: Command) -> None:
    answers = {
        "/api/v1/query": {"result": [{"metric": {"job": "api"}, "value": [0, "1"]}]},
        "/api/v1/query_exemplars": [],
        "/api/v1/status/flags": {"enable-feature": ""},
        "/api/v1/rules": {"groups": []},
        "/api/v1/alertmanagers": {"activeAlertmanagers": []},
    }
    with JsonServer({path: {"status": "success", "data": data} for path, data in answers.items()}) as server:
        done = run("doctor", "--prometheus", server.url, "--json")
    assert states(done) | {"Prometheus exemplars": "failed", "Prometheus rules": "warning"} == states(done)
    assert remedy(done, "exemplars") == "Start it with --enable-feature=exemplar-storage."
    assert "rule_files" in remedy(done, "rules")


@pytest.mark.parametrize(
    ("target", "told", "remedy"),
    [
        (
            {"scrapeUrl": "http://api:8000/metrics", "health": "down", "lastError": "connection refused"},
            "it has no http_requests_total; http://api:8000/metrics: connection refused",
            "Add the API's address to a scrape job",
        ),
        (
            {"scrapeUrl": "http://api:8000/metrics", "health": "unknown"},
            "it has no http_requests_total from its 1 targets, of which some were not scraped yet",
            "Wait, and ask again.",
        ),
    ],
)
def test_a_prometheus_that_has_nothing_of_its_targets(
    run: Command, target: dict[str, str], told: str, remedy: str
) -> None:
    answers = {"/api/v1/query": {"result": []}, "/api/v1/targets": {"activeTargets": [target]}}
    with JsonServer({path: {"status": "success", "data": data} for path, data in answers.items()}) as server:
        done = run("doctor", "--prometheus", server.url, "--json")
    check = next(check for check in done.json["checks"] if check["check"] == "scrapes")
    assert check["told"] == told
    assert check["remedy"].startswith(remedy)


def test_a_server_that_is_no_prometheus(plain_server: str, run: Command) -> None:
    assert states(run("doctor", "--prometheus", plain_server, "--json"))["Prometheus scrapes"] == "failed"


def test_logs_that_are_no_json_or_of_something_else(site: Site, run: Command, tmp_path: Path) -> None:
    (tmp_path / "plain.log").write_text("INFO: started\nINFO: GET /\n")
    done = run("doctor", "--logs", "plain.log", "--json")
    assert states(done)["logs JSON lines"] == "failed"
    assert done.code == 1
    line = {"time": "2026-11-24T07:08:09Z", "level": "INFO", "message": "m", "request_id": "r-1", "origin": "worker"}
    (tmp_path / "json.log").write_text(json.dumps(line) + "\n")
    done = run("doctor", "--logs", "json.log", "--json")
    assert states(done)["logs JSON lines"] == "ok"
    assert states(done)["logs task header"] == "failed"
    assert "reqtrail.install(app, celery=celery_app)" in remedy(done, "task header")


def test_loki_with_and_without_lines(run: Command) -> None:
    with FakeLoki({"api": ['{"request_id": "r-1"}']}) as loki:
        assert states(run("doctor", "--loki", loki.url, "--json"))["Loki has lines"] == "ok"
    with FakeLoki({"api": ["nothing of interest"]}) as loki:
        assert states(run("doctor", "--loki", loki.url, "--json"))["Loki has lines"] == "failed"
