"""A failing request: what the caller, the log, the metrics and the database say of it."""

import httpx

from devstack.commandcenter import CommandCenter
from examples.commandcenter.trail import collect, json_lines
from tests.integration.metric_samples import samples, total

ROUTE = "/api/v1/trigger-error"


def test_the_caller_gets_the_id_in_body_and_header(client: httpx.Client) -> None:
    response = client.get(ROUTE)
    assert response.status_code == 500
    assert response.json() == {"detail": "Internal server error", "request_id": response.headers["X-Request-ID"]}


def test_exactly_one_error_line_with_the_traceback(stack: CommandCenter, client: httpx.Client) -> None:
    trail = collect(stack, client.get(ROUTE))
    [line] = [line for line in trail.api_lines if line["level"] == "ERROR"]
    assert "Traceback" in line["exception"]
    assert "division by zero" in line["error_message"]
    assert line["error_type"] == "DBAPIError"
    assert line["endpoint"] == ROUTE


def test_the_server_does_not_log_the_traceback_again(stack: CommandCenter, client: httpx.Client) -> None:
    before = stack.log("api").read_text().count("Traceback (most recent call last)")
    lines = len(json_lines(stack.log("api")))
    trail = collect(stack, client.get(ROUTE))
    of_request = json_lines(stack.log("api"))[lines:]
    tracebacks = sum(
        line["exception"].count("Traceback (most recent call last)") for line in trail.api_lines if "exception" in line
    )
    assert stack.log("api").read_text().count("Traceback (most recent call last)") == before + tracebacks
    assert [line["logger"] for line in of_request if line["level"] == "ERROR"] == ["reqtrail.error"]


def test_the_error_counter_goes_up_by_one(stack: CommandCenter, client: httpx.Client) -> None:
    labels = {"endpoint": ROUTE, "status_code": "500", "error_type": "DBAPIError"}
    before = total(client, "commandcenter_errors_total", **labels)
    trail = collect(stack, client.get(ROUTE))
    assert total(client, "commandcenter_errors_total", **labels) == before + 1
    [sample] = [s for s in samples(client, "commandcenter_errors_total") if labels.items() <= s.labels.items()]
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"request_id": trail.request_id}


def test_the_database_counts_the_error_and_the_rollback(stack: CommandCenter, client: httpx.Client) -> None:
    [row] = collect(stack, client.get(ROUTE)).database_rows
    assert (row["transactions"], row["rollbacks"], row["errors"], row["statements"]) == (1, 1, 1, 1)


def test_a_request_for_nothing_is_no_error(stack: CommandCenter, client: httpx.Client) -> None:
    trail = collect(stack, client.post("/api/v1/repositories/999/sync"))
    assert trail.response.status_code == 404
    assert [line["level"] for line in trail.api_lines] == ["INFO"]
    assert total(client, "commandcenter_errors_total", endpoint="/api/v1/repositories/{id}/sync") == 0
