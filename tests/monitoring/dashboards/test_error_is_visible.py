"""An error, the first of its kind, shows in every query of the dashboard about errors within 30 s."""

import time

import pytest

from tests.monitoring.dashboards.answers import prometheus_text, rows_of
from tests.monitoring.dashboards.collected import selects
from tests.monitoring.dashboards.log_lines import lines_of
from tests.monitoring.dashboards.logql_trees import tree_of
from tests.monitoring.dashboards.panel_queries import PanelQuery, queries_of
from tests.monitoring.dashboards.watched_application import WatchedApplication
from tests.waiting import wait_for

ENDPOINT = "/api/v1/trigger-error"
WITHIN_SECONDS = 30
QUERIES = list(queries_of("error-tracking"))


class Error:
    """The error, and what Prometheus said of its endpoint before it."""

    def __init__(self, watched: WatchedApplication) -> None:
        self._watched = watched
        self.before = {str(query): self._numbers(query, time.time()) for query in QUERIES if query.language == "promql"}
        self._at = time.time()
        answer = watched.send(("GET", ENDPOINT))
        assert answer.status_code == 500
        self.request_id = answer.headers["X-Request-ID"]
        watched.fail_a_task(self.request_id)
        self.deadline = time.monotonic() + WITHIN_SECONDS

    def _numbers(self, query: PanelQuery, since: float) -> dict[str, float]:
        """The greatest number of each series since a moment, by labels."""
        text = prometheus_text(query, endpoint=ENDPOINT)
        found = self._watched.prometheus.query_range(text, since, time.time(), 1)
        return {str(series["metric"]): max(float(value) for _, value in series["values"]) for series in found}

    def shows(self, query: PanelQuery) -> bool:
        """Whether a query knows of the error by now."""
        if query.language == "promql":
            before = self.before[str(query)]
            return any(number > before.get(labels, 0) for labels, number in self._numbers(query, self._at).items())
        if query.language == "sql":
            rows = rows_of(self._watched, query, self.request_id)
            return any(row.get("request_id", self.request_id) == self.request_id for row in rows)
        nodes = tree_of(query, request_id=self.request_id)
        lines = (line for line in lines_of(self._watched) if line.metadata.get("request_id") == self.request_id)
        return any(selects(nodes, line) for line in lines)


@pytest.fixture(scope="module")
def error(watched: WatchedApplication) -> Error:
    return Error(watched)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_shows_the_error(error: Error, query: PanelQuery) -> None:
    wait_for(lambda: error.shows(query), max(error.deadline - time.monotonic(), 1))
