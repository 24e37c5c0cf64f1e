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


def name(query: Example) -> str:
    return f"{query.document.stem}:{query.line}"


def test_every_query_parses() -> None:
    assert len(PROMQL) >= 27
    assert len(LOGQL) >= 8
    trees = parsed([(query.language, query.text) for query in QUERIES])
    assert {name(query): tree["errors"] for query, tree in zip(QUERIES, trees, strict=True) if tree["errors"]} == {}


@pytest.mark.parametrize("query", PROMQL, ids=name)
def test_prometheus_answers(watched: WatchedApplication, query: Example) -> None:
    wait_for(lambda: watched.prometheus.query(query.text) != [], 5)


@pytest.mark.parametrize("query", LOGQL, ids=name)
def test_a_query_selects_lines_that_the_application_wrote(watched: WatchedApplication, query: Example) -> None:
    [tree] = parsed([("logql", query.text)])
    wait_for(lambda: any(selects(tree["nodes"], line) for line in lines_of(watched)), 30)
