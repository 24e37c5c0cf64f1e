"""Every query of every panel, run against what the running application gives: an empty answer fails."""

import re
import time

import pytest

from examples.commandcenter.trail import json_lines
from tests.monitoring.dashboards.answers import prometheus_text, rows_of, samples_of
from tests.monitoring.dashboards.panel_queries import ALL, PanelQuery
from tests.monitoring.dashboards.watched_application import HOLDER, WAITER, WatchedApplication
from tests.waiting import wait_for

PATIENCE_SECONDS = 60


def names(queries: list[PanelQuery]) -> list[str]:
    return [str(query) for query in queries]


PROMQL = [query for query in ALL if query.language == "promql"]
SQL = [query for query in ALL if query.language == "sql"]


@pytest.mark.parametrize("query", PROMQL, ids=names(PROMQL))
def test_promql_of_a_panel_returns_data(watched: WatchedApplication, query: PanelQuery) -> None:
    wait_for(lambda: samples_of(watched, query) != [], PATIENCE_SECONDS)


@pytest.mark.parametrize("query", SQL, ids=names(SQL))
def test_sql_of_a_panel_returns_rows_to_the_role_of_grafana(watched: WatchedApplication, query: PanelQuery) -> None:
    assert rows_of(watched, query) != []


WITH_EXEMPLARS = [query for query in PROMQL if query.target.get("exemplar")]


@pytest.mark.parametrize("query", WITH_EXEMPLARS, ids=names(WITH_EXEMPLARS))
def test_exemplars_of_a_panel_name_requests_that_have_log_lines(watched: WatchedApplication, query: PanelQuery) -> None:
    logged = {line.get("request_id") for name in ("api", "worker") for line in json_lines(watched.stack.log(name))}
    end = time.time()
    series = watched.prometheus.exemplars(prometheus_text(query), end - 600, end)
    ids = {exemplar["labels"]["request_id"] for one in series for exemplar in one["exemplars"]}
    assert ids
    assert ids <= logged


def test_requests_in_flight_name_the_request_that_blocks_them(watched: WatchedApplication) -> None:
    [query] = [query for query in SQL if query.panel == "Requests in flight"]
    blocked = {row["request_id"]: row["blocked_by"] for row in rows_of(watched, query)}
    assert blocked[WAITER] == HOLDER
    assert blocked[HOLDER] is None


def test_costliest_requests_come_first(watched: WatchedApplication) -> None:
    [query] = [query for query in SQL if query.panel == "The costliest requests"]
    rows = rows_of(watched, query)
    times = [row["total_time"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert times[0] >= 250  # the report that sleeps so long
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", row["request_id"]) for row in rows)
