"""`reqtrail trace` with some of its sources: Loki, what is missing, what fails, and the exit code of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack.process import free_port
from tests.cli.command import Command
from tests.cli.conftest import Site
from tests.cli.fake_loki import FakeLoki

ID = "4f1c2b6e-8d0a-4f7e-9b1a-000000000001"


def line(logger: str, **fields: object) -> str:
    known = {"time": "2026-11-24T07:08:09.500000Z", "level": "INFO", "logger": logger, "message": "m", "request_id": ID}
    return json.dumps({**known, **fields})


ACCESS = line("reqtrail.access", message="GET / 200", status_code=200, duration=0.25, origin="api")
LATE_TASK = line(
    "reqtrail.task",
    message="task t SUCCESS",
    time="2026-11-24T07:08:13.000000Z",
    task="t",
    state="SUCCESS",
    duration=1.0,
    origin="worker",
)
WAIT = json.dumps(
    {
        "timestamp": "2026-11-24 07:08:09.400 UTC",
        "pid": 11,
        "error_severity": "LOG",
        "message": "process 11 still waiting for ShareLock on transaction 745 after 120.5 ms",
        "detail": f"Process holding the lock: 22. Wait queue: 11.\nrequest_id: {ID}",
    }
)
HOLDER = json.dumps(
    {
        "timestamp": "2026-11-24 07:08:09.300 UTC",
        "pid": 22,
        "error_severity": "LOG",
        "message": "duration: 900.000 ms  statement: SELECT 1",
        "detail": "request_id: the-holder",
    }
)


def test_loki_gives_the_lines_and_the_holder_of_the_lock(run: Command) -> None:
    lines = {"api": [ACCESS, line("x", request_id="other")], "worker": [LATE_TASK], "postgres": [WAIT, HOLDER]}
    with FakeLoki(lines, tenant="ops") as loki:
        done = run("trace", ID, "--loki", loki.url, "--loki-tenant", "ops", "--json")
        assert done.code == 0
        assert [event["kind"] for event in done.json["events"]] == ["request", "lock", "task"]
        assert {event["source"] for event in done.json["events"]} == {"api", "worker", "postgres"}
        assert done.json["events"][1]["details"]["held_by"] == ["the-holder"]
        titles = {cause["kind"]: cause["title"] for cause in done.json["causes"]}
        assert next(iter(titles)) == "queue"
        assert titles["queue"] == "Waited 2.50 s in the queue before t was started"
        assert titles["lock"] == "Waited for a lock held by request the-holder, 120 ms"
        assert done.json["gaps"][0]["duration_ms"] == pytest.approx(2500)
        assert loki.queries[0] == f'{{service=~".+"}} |= "{ID}"'


def test_loki_refuses_and_the_reason_is_shown(run: Command) -> None:
    with FakeLoki({}) as loki:
        done = run("trace", ID, "--loki", loki.url, "--loki-selector", "nonsense")
        assert done.code == 3
        assert "answered 400: parse error" in done.err
        refused = run("trace", ID, "--loki", loki.url, "--loki-tenant", "unknown")
        assert "answered 401: no org id" in refused.err


def test_one_source_that_fails_hides_nothing_of_the_others(run: Command, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    nobody = f"http://127.0.0.1:{free_port()}"
    done = run("trace", ID, "--logs", "api.log", "--prometheus", nobody, "--loki", nobody, "--json")
    assert done.code == 0
    assert [event["name"] for event in done.json["events"]] == ["GET / 200"]
    assert {source["kind"]: source["state"] for source in done.json["sources"]} == {
        "logs": "read",
        "loki": "failed",
        "prometheus": "failed",
        "dsn": "not given",
        "metrics": "not given",
    }
    assert "does not answer" in done.err


def test_an_unknown_request_is_exit_code_1(site: Site, run: Command) -> None:
    done = run("trace", "nobody-knows-this", "--dsn", site.dsn, *site.application_logs)
    assert done.code == 1
    assert "nothing is known of this request" in done.out
    assert "0 rows" in done.out


def test_no_readable_source_is_exit_code_3(run: Command, tmp_path: Path) -> None:
    done = run("trace", ID, "--logs", "missing-*.log", "--dsn", f"postgresql://me:secret@127.0.0.1:{free_port()}/shop")
    assert done.code == 3
    assert "no file matches missing-*.log" in done.err
    assert "Connection refused" in done.words
    assert "secret" not in done.out + done.err


def test_a_file_that_cannot_be_read_is_said_beside_those_that_can(run: Command, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    (tmp_path / "broken.log.gz").write_bytes(b"no gzip")
    done = run("trace", ID, "--logs", "*.log*", "--json")
    assert done.code == 0
    [source] = [source for source in done.json["sources"] if source["kind"] == "logs"]
    assert "not read: broken.log.gz" in source["note"]


def test_a_database_without_the_extension_says_what_to_do(site: Site, run: Command) -> None:
    done = run("trace", ID, "--dsn", site.stack.postgres.dsn("template1"))
    assert done.code == 3
    assert "CREATE EXTENSION pg_stat_requests" in done.words


def test_a_server_that_is_no_prometheus_is_said_to_be_none(site: Site, run: Command) -> None:
    done = run("trace", ID, "--prometheus", site.stack.url)
    assert done.code == 3
    assert "/api/v1/query_exemplars answered 404" in done.err
