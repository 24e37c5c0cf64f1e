"""How much a dashboard's queries read, at fifty endpoints. How long that takes is measured by `make bench`."""

from collections.abc import Iterator

import pytest

from devstack.prometheus import Prometheus
from tests.monitoring.dashboards import made_up
from tests.monitoring.dashboards.panel_queries import NAMES, queries_of

# Prometheus reads some ten million samples a second; three seconds are the goal for a dashboard.
SAMPLES_OF_A_DASHBOARD = 10_000_000
NOT_MADE_UP = {"Free disk space", "Load of the hosts", "What the instruments lost"}


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("made-up")
    end = made_up.full_minutes_ago(1)
    made_up.write(directory / "samples", end - 2 * made_up.HOUR, end, made_up.SCRAPE_SECONDS)
    made_up.blocks(directory / "data", directory / "samples", "2h")
    with Prometheus(directory, {}) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_queries_of_a_dashboard_read_few_enough_samples_for_three_seconds(two_hours: Prometheus, name: str) -> None:
    end = made_up.full_minutes_ago(2)
    queries = [query for query in queries_of(name) if query.language == "promql"]
    answers = {str(query): made_up.ask(two_hours, query, made_up.HOUR, end) for query in queries}
    assert {query.panel for query in queries if not answers[str(query)]["result"]} <= NOT_MADE_UP
    read = {query: answer["stats"]["samples"]["totalQueryableSamples"] for query, answer in answers.items()}
    assert sum(read.values()) < SAMPLES_OF_A_DASHBOARD, read
