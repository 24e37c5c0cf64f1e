"""`reqtrail trace` on requests of the running example: what it finds, and what it calls the likely cause."""

from __future__ import annotations

import gzip
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from devstack.pgbouncer import PgBouncer
from tests.cli.command import Command, Done
from tests.cli.conftest import Site
from tests.waiting import wait_for


def id_of(response: httpx.Response) -> str:
    return response.headers["X-Request-ID"]


def kinds(trail: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in trail["events"]]


def has(*wanted: str) -> Callable[[Done], bool]:
    """Whether a trail in JSON has events of these kinds."""
    return lambda done: done.code == 0 and set(wanted) <= set(kinds(done.json))


def test_a_good_request_from_the_edge_to_the_task(
    site: Site, client: httpx.Client, run_until: Callable[..., Done]
) -> None:
    request_id = id_of(client.post("/api/v1/repositories/4/sync"))
    done = run_until(
        has("request", "task", "database"),
        *("trace", request_id, "--dsn", site.dsn, *site.application_logs, "--json", "--slow-ms", "20000"),
    )
    trail = done.json
    assert trail["request_id"] == request_id
    [request] = [event for event in trail["events"] if event["kind"] == "request"]
    [task] = [event for event in trail["events"] if event["kind"] == "task"]
    [database] = [event for event in trail["events"] if event["kind"] == "database"]
    assert request["name"] == "POST /api/v1/repositories/{id}/sync 202"
    assert task["name"] == "commandcenter.sync_repository SUCCESS"
    assert request["start"] < task["start"]
    assert request["duration_ms"] == pytest.approx(request["details"]["duration"] * 1000, abs=0.001)
    assert (database["details"]["transactions"], database["details"]["statements"]) == (2, 6)
    messages = {event["name"] for event in trail["events"] if event["kind"] == "log"}
    assert messages == {"sync of repository 4 requested", "synchronised repository 4"}
    assert trail["causes"] == []
    states = {source["kind"]: source["state"] for source in trail["sources"]}
    assert states == {
        "dsn": "read",
        "logs": "read",
        "loki": "not given",
        "prometheus": "not given",
        "metrics": "not given",
    }


def test_the_text_has_cause_waterfall_and_sources(
    site: Site, client: httpx.Client, run_until: Callable[..., Done]
) -> None:
    request_id = id_of(client.post("/api/v1/repositories/5/sync"))
    arguments = ("trace", request_id, "--dsn", site.dsn, *site.application_logs, "--slow-ms", "20000")
    text = run_until(lambda done: "synchronised" in done.out and "SUCCESS" in done.out, *arguments).out
    assert f"request {request_id}" in text
    assert "nothing stands out" in text
    assert "█" in text
    assert "commandcenter.sync_repository SUCCESS" in text
    assert "Loki: not given" in text
    assert "\x1b" not in text


def test_a_failed_request_names_the_place(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    request_id = id_of(client.get("/api/v1/trigger-error"))
    log = site.server_log("json")
    trail = run_until(
        has("request", "error"),
        *("trace", request_id, "--dsn", site.dsn, *site.application_logs, "--logs", log, "--json"),
    ).json
    cause = trail["causes"][0]
    assert cause["kind"] == "failed"
    assert cause["title"] == "Failed in the database: division by zero (22012)"
    assert "GET /api/v1/trigger-error 500" in cause["evidence"]
    assert "examples/commandcenter/api.py" in cause["evidence"]
    assert "in trigger_error" in cause["evidence"]
    assert "UPDATE repositories" in cause["evidence"]
    request, error = (next(e for e in trail["events"] if e["kind"] == kind) for kind in ("request", "error"))
    assert request["start"] <= error["start"]


def test_a_slow_request_names_the_statement(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    request_id = id_of(client.get("/api/v1/reports/slow"))
    trail = run_until(
        has("request", "database", "statement"),
        *("trace", request_id, "--dsn", site.dsn, *site.application_logs, "--logs", site.server_log("csv"), "--json"),
    ).json
    cause = trail["causes"][0]
    assert cause["kind"] == "slow"
    assert "slow in one statement" in cause["title"]
    assert "pg_sleep" in cause["evidence"]
    assert trail["time_spent"]["database_ms"] >= 250


def test_an_n_plus_one_is_named(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    request_id = id_of(client.get("/api/v1/repositories/commits"))
    trail = run_until(
        has("request", "database"),
        *("trace", request_id, "--dsn", site.dsn, *site.application_logs, "--json", "--slow-ms", "20000"),
    ).json
    assert trail["causes"][0]["kind"] == "n_plus_one"


def test_a_request_that_waits_for_a_lock_names_who_holds_it(site: Site, run_until: Callable[..., Done]) -> None:
    request_id = "waits-for-the-lock"
    answers: list[int] = []

    def send() -> None:
        headers = {"X-Request-ID": request_id}
        answers.append(
            httpx.post(f"{site.stack.url}/api/v1/repositories/9/sync", headers=headers, timeout=100).status_code
        )

    def waits_two_seconds(done: Done) -> bool:  # so that nothing else of the request takes as long
        return any(event["kind"] == "lock" and event["duration_ms"] > 2000 for event in done.json["events"])

    with site.stack.postgres.connect("commandcenter", autocommit=False) as holder:
        holder.execute("SET LOCAL pg_stat_requests.request_id = 'holds-the-lock'")
        holder.execute("SELECT FROM repositories WHERE id = 9 FOR UPDATE")
        waiter = threading.Thread(target=send)
        waiter.start()
        # While it waits, from the server alone.
        trail = run_until(waits_two_seconds, "trace", request_id, "--dsn", site.dsn, "--json").json
        assert trail["causes"][0]["kind"] == "lock"
        assert trail["causes"][0]["title"].startswith("Waits for a lock held by request holds-the-lock, ")
        wait_for(lambda: "still waiting" in site.server_log("log").read_text(), seconds=60)
        holder.execute("SET LOCAL log_min_duration_statement = 0")
        holder.execute("SELECT 'the holder is seen in the log'")
    waiter.join()
    assert answers == [202]
    # Afterwards, from everything: the statement and the request took as long, but the lock is why.
    everything = ("--dsn", site.dsn, *site.application_logs, "--logs", site.server_log("json"), "--json")
    trail = run_until(has("request", "lock", "database"), "trace", request_id, *everything).json
    assert trail["causes"][0]["title"].startswith("Waited for a lock held by request holds-the-lock, ")
    # And from the server's log alone, in each of its formats.
    for kind in ("log", "csv", "json"):
        arguments = ("trace", request_id, "--logs", site.server_log(kind), "--json")
        trail = run_until(lambda done: '"acquired": true' in done.out, *arguments).json
        [lock] = [event for event in trail["events"] if event["kind"] == "lock"]
        assert lock["details"]["held_by"] == ["holds-the-lock"]
        assert lock["duration_ms"] >= 100
        assert trail["causes"][0]["title"].startswith("Waited for a lock held by request holds-the-lock, ")
        assert trail["causes"][0]["advice"] == "See what held it: reqtrail trace holds-the-lock"


def test_a_task_that_waited_in_the_queue(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    os.killpg(site.stack.worker.pid, signal.SIGSTOP)
    try:
        request_id = id_of(client.post("/api/v1/repositories/3/sync"))
        arguments = ("trace", request_id, *site.application_logs, "--json")
        run_until(has("request"), *arguments)
    finally:
        os.killpg(site.stack.worker.pid, signal.SIGCONT)
    trail = run_until(has("request", "task"), *arguments, "--slow-ms", "1").json
    [gap] = trail["gaps"]
    assert gap["reason"] == "in the queue: commandcenter.sync_repository was not started yet"
    [queue] = [cause for cause in trail["causes"] if cause["kind"] == "queue"]
    assert queue["weight_ms"] == gap["duration_ms"] == trail["time_spent"]["queue_ms"]


def test_through_pgbouncer_nothing_is_left_set(site: Site, client: httpx.Client, run: Command, tmp_path: Path) -> None:
    request_id = id_of(client.get("/api/v1/repositories"))
    with PgBouncer(tmp_path / "pgbouncer", site.stack.postgres.port, server_connections=1) as pooler:
        dsn = f"postgresql://postgres@127.0.0.1:{pooler.port}/commandcenter"
        assert kinds(run("trace", request_id, "--dsn", dsn, "--json").json) == ["database"]
        assert run("doctor", "--dsn", dsn).code == 0
        with psycopg.connect(dsn) as next_client:
            asked = "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only')"
            assert next_client.execute(asked).fetchone() == ("0", "off")


def test_exemplars_come_from_prometheus(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    request_id = id_of(client.get("/api/v1/repositories"))
    trail = run_until(has("exemplar"), "trace", request_id, "--prometheus", site.prometheus.url, "--json").json
    names = [event["name"] for event in trail["events"]]
    assert any(name.startswith("http_requests_total{") and 'handler="/api/v1/repositories"' in name for name in names)


def test_exemplars_come_from_the_metrics_page(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    request_id = id_of(client.get("/api/v1/repositories/999999/unknown"))
    arguments = ("trace", request_id, "--metrics", f"{site.stack.url}/metrics", "--json")
    trail = run_until(has("exemplar"), *arguments).json
    assert all('handler="__unmatched__"' in event["name"] for event in trail["events"])


def test_standard_input_and_gzip_are_logs_too(site: Site, client: httpx.Client, run: Command, tmp_path: Path) -> None:
    request_id = id_of(client.get("/api/v1/repositories"))
    log = site.stack.log("api")
    wait_for(lambda: request_id in log.read_text(), seconds=60)
    piped = run("trace", request_id, "--logs", "-", "--json", stdin=log.read_text())
    assert kinds(piped.json) == ["request"]
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(log.read_bytes()))
    assert kinds(run("trace", request_id, "--logs", "old.log.*", "--json").json) == ["request"]
