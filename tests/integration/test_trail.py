"""What the product promises: one id, from the response header through every part."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from devstack.commandcenter import CommandCenter
from examples.commandcenter.trail import Trail, collect
from tests.integration.metric_samples import samples

SYNC = "/api/v1/repositories/3/sync"
SYNC_ROUTE = "/api/v1/repositories/{id}/sync"


@pytest.fixture
def synced(stack: CommandCenter, client: httpx.Client) -> Trail:
    return collect(stack, client.post(SYNC), task=True)


def test_id_is_in_the_access_line_of_the_api(synced: Trail) -> None:
    [line] = [line for line in synced.api_lines if line["logger"] == "reqtrail.access"]
    assert line["origin"] == "api"
    assert line["endpoint"] == SYNC_ROUTE
    assert line["status_code"] == 202
    assert line["duration"] > 0


def test_id_is_in_the_log_lines_that_the_handler_and_the_task_write(synced: Trail) -> None:
    assert "sync of repository 3 requested" in [line["message"] for line in synced.api_lines]
    assert "synchronised repository 3" in [line["message"] for line in synced.worker_lines]


def test_id_is_in_the_line_that_ends_the_task(synced: Trail) -> None:
    [line] = [line for line in synced.worker_lines if line["logger"] == "reqtrail.task"]
    assert line["origin"] == "worker"
    assert line["task"] == "commandcenter.sync_repository"
    assert line["task_id"] == synced.response.json()["task_id"]


def test_id_is_in_the_headers_of_the_message_on_the_broker(stack: CommandCenter, client: httpx.Client) -> None:
    with redis.Redis(port=stack.redis.port) as broker, broker.monitor() as wire:
        response = client.post(SYNC)
        pushes = (seen["command"] for seen in wire.listen() if seen["command"].startswith("LPUSH celery "))
        message = json.loads(next(pushes).removeprefix("LPUSH celery ").replace('\\"', '"').strip('"'))
    assert message["headers"]["request_id"] == response.headers["X-Request-ID"]


def test_both_transactions_of_the_request_are_one_row_in_postgresql(synced: Trail) -> None:
    [row] = synced.database_rows
    assert (row["database"], row["user"]) == ("commandcenter", "commandcenter")
    assert row["transactions"] == 2
    assert (row["rollbacks"], row["errors"]) == (0, 0)
    # SELECT FOR UPDATE and UPDATE in the API; SELECT, count, UPDATE and INSERT in the task.
    assert row["statements"] == 6
    assert row["total_time"] >= row["max_time"] > 0
    assert row["wal_bytes"] > 0
    assert row["first_seen"] < row["last_seen"]


def test_id_is_the_exemplar_of_counter_and_histogram(synced: Trail, client: httpx.Client) -> None:
    expected = {"request_id": synced.request_id}
    for name in ("http_requests_total", "http_request_duration_seconds_bucket"):
        exemplars = [
            s.exemplar.labels for s in samples(client, name) if s.exemplar and s.labels["handler"] == SYNC_ROUTE
        ]
        assert expected in exemplars, name


def test_plain_text_exposition_has_no_exemplars(synced: Trail, client: httpx.Client) -> None:
    response = client.get("/metrics", headers={"Accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "http_requests_total{" in response.text
    assert synced.request_id not in response.text


def test_an_id_of_the_caller_goes_all_the_way(stack: CommandCenter, client: httpx.Client) -> None:
    response = client.post(SYNC, headers={"X-Request-ID": "from-the-load-balancer.1"})
    assert response.headers.get_list("X-Request-ID") == ["from-the-load-balancer.1"]
    trail = collect(stack, response, task=True)
    assert trail.api_lines
    assert trail.worker_lines
    assert trail.database_rows[0]["transactions"] == 2


def test_n_plus_one_shows_as_statements(stack: CommandCenter, client: httpx.Client) -> None:
    trail = collect(stack, client.get("/api/v1/repositories/commits"))
    assert trail.database_rows[0]["statements"] == 21


def test_a_slow_query_shows_as_max_time(stack: CommandCenter, client: httpx.Client) -> None:
    trail = collect(stack, client.get("/api/v1/reports/slow"))
    assert trail.database_rows[0]["max_time"] >= 250


def test_concurrent_requests_never_share_a_row(stack: CommandCenter, client: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as threads:
        responses = list(
            threads.map(lambda number: client.post(f"/api/v1/repositories/{number % 20 + 1}/sync"), range(200))
        )
    for response in responses:
        trail = collect(stack, response, task=True)
        [row] = trail.database_rows
        assert row["transactions"] == 2, trail.request_id
        assert row["statements"] == 6, trail.request_id
        assert {line["task_id"] for line in trail.worker_lines if "task_id" in line} == {response.json()["task_id"]}
