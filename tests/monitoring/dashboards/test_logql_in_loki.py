"""The LogQL of the panels in a real Loki. Debian has none: the tests are there where `loki` is on the PATH."""

from collections.abc import Iterator

import pytest

from tests.monitoring.dashboards.log_lines import lines_of
from tests.monitoring.dashboards.logql_trees import filled_in
from tests.monitoring.dashboards.loki import FOUND, Loki
from tests.monitoring.dashboards.panel_queries import ALL, PanelQuery
from tests.monitoring.dashboards.watched_application import WatchedApplication
from tests.waiting import wait_for

if FOUND:

    @pytest.fixture(scope="module")
    def loki(watched: WatchedApplication, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
        with Loki(tmp_path_factory.mktemp("loki")) as running:
            running.push(lines_of(watched))
            yield running

    @pytest.mark.parametrize("query", [query for query in ALL if query.language == "logql"], ids=str)
    def test_a_query_returns_lines(loki: Loki, watched: WatchedApplication, query: PanelQuery) -> None:
        wait_for(lambda: loki.query(filled_in(query, request_id=watched.finished_id)) != [], 60)
