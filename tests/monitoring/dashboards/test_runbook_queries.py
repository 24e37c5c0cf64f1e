"""The queries that runbooks tell to run: of Prometheus, against what the application gives; of Loki, on its lines."""

import pytest

from tests.docs.documents import DOCUMENTS, Example, examples
from tests.monitoring.dashboards.collected import selects
from tests.monitoring.dashboards.log_lines import lines_of
from tests.monitoring.dashboards.logql_trees import parsed
from tests.monitoring.dashboards.watched_application import WatchedApplication
from tests.waiting import wait_for

QUERIES = [
    example for document in DOCUMENTS for example in examples(document) if example.language in {"promql", "logql"}
]
PROMQL = [query for query in QUERIES if query.language == "promql"]
LOGQL = [query for query in QUERIES if query.language == "logql"]

# What is asked for only when there is trouble, or of what is not part of the application that runs here.
MAY_BE_EMPTY = {
    "job:http_request_errors:ratio_rate5m": "recorded by a rule, and this Prometheus has none",
    "sum by (job, instance, reason) (increase(reqtrail_log_lines_dropped_total[10m]))": "no line was dropped",
    "pg_replication_lag_seconds and pg_replication_is_replica == 1": "no standby",
    "node_filesystem_avail_bytes / -deriv(node_filesystem_avail_bytes[6h]) > 0": "no disk is filling up",
    "up == 0": "no target is down",
    "prometheus_notifications_alertmanagers_discovered": "no Alertmanager",
    "rate(prometheus_notifications_errors_total[5m])": "no Alertmanager",
}


def name(query: Example) -> str:
    return f"{query.document.stem}:{query.line}"


def test_what_may_be_empty_is_asked_for_somewhere() -> None:
    assert MAY_BE_EMPTY.keys() <= {query.text.strip() for query in PROMQL}


def test_every_query_parses() -> None:
    assert len(PROMQL) >= 27
    assert len(LOGQL) >= 8
    trees = parsed([(query.language, query.text) for query in QUERIES])
    assert {name(query): tree["errors"] for query, tree in zip(QUERIES, trees, strict=True) if tree["errors"]} == {}


@pytest.mark.parametrize("query", PROMQL, ids=name)
def test_prometheus_answers(watched: WatchedApplication, query: Example) -> None:
    may_be_empty = query.text.strip() in MAY_BE_EMPTY
    wait_for(lambda: watched.prometheus.query(query.text) != [] or may_be_empty, 120)  # raises if it is refused


@pytest.mark.parametrize("query", LOGQL, ids=name)
def test_a_query_selects_lines_that_the_application_wrote(watched: WatchedApplication, query: Example) -> None:
    [tree] = parsed([("logql", query.text)])
    wait_for(lambda: any(selects(tree["nodes"], line) for line in lines_of(watched)), 30)
