"""What every dashboard keeps to."""

import itertools
import json
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from devstack.postgres_tree import REPOSITORY
from tests.monitoring.dashboards.logql_trees import GRAMMARS, NODE
from tests.monitoring.dashboards.panel_queries import ALL, NAMES, load, panels_of, path_of, queries_of, variables_in

COLUMNS = 24
OF_GRAFANA = {
    *("__rate_interval", "__rate_interval_ms", "__range", "__interval", "__auto", "__from", "__to", "__url_time_range"),
    *("__timeFilter", "__timeGroupAlias", "__all"),
}
ROW_ORDER = ["Traffic", "Errors", "Latency", "Saturation"]
each = pytest.mark.parametrize("name", NAMES)


def test_the_four_dashboards_are_there() -> None:
    assert NAMES == ["celery-deep-dive", "database-performance", "error-tracking", "golden-signals"]


def test_files_are_what_the_code_makes() -> None:
    command = [sys.executable, "-m", "monitoring.grafana.build", "--check"]
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@each
def test_a_dashboard_is_of_the_type_that_grafana_declares(name: str) -> None:
    source = GRAMMARS / f"checked-{name}.ts"
    declaration = "import type { DashboardAsJson } from './typed_dashboard';\nconst made: DashboardAsJson = "
    source.write_text(declaration + path_of(name).read_text())
    compiler = str(GRAMMARS / "node_modules/typescript/bin/tsc")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    checked = subprocess.run(
        [str(NODE), compiler, *options, source.name], cwd=GRAMMARS, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@each
def test_uid_is_fixed_and_nobody_edits_it_in_place(name: str) -> None:
    dashboard = load(name)
    assert dashboard["uid"] == f"reqtrail-{name}"
    assert len(dashboard["uid"]) <= 40
    assert dashboard["editable"] is False


@each
def test_ids_of_panels_and_rows_are_unique(name: str) -> None:
    ids = [panel["id"] for panel in load(name)["panels"]]
    assert len(ids) == len(set(ids))


@each
def test_titles_of_panels_are_unique(name: str) -> None:
    titles = [panel["title"] for panel in panels_of(load(name))]
    assert len(titles) == len(set(titles))


@each
def test_panels_fill_the_grid_without_overlap(name: str) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in load(name)["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS, panel["title"]
        own = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not own & cells, panel["title"]
        cells |= own
    heights = {y for _, y in cells}
    assert heights == set(range(max(heights) + 1))


@each
def test_rows_come_in_the_order_traffic_errors_latency_saturation(name: str) -> None:
    titles = [panel["title"].split(":")[0] for panel in load(name)["panels"] if panel["type"] == "row"]
    signals = [title for title, _ in itertools.groupby(titles) if title in ROW_ORDER]
    assert signals == [signal for signal in ROW_ORDER if signal in signals]
    assert {"Traffic", "Errors"} <= set(signals)


@each
def test_every_panel_says_what_it_shows_in_which_unit_with_which_limits(name: str) -> None:
    for panel in panels_of(load(name)):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]


@each
def test_limits_are_drawn_as_lines(name: str) -> None:
    for panel in panels_of(load(name)):
        if panel["type"] == "timeseries" and len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1:
            assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "dashed", panel["title"]


@each
def test_every_variable_in_use_is_declared(name: str) -> None:
    dashboard = load(name)
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = variables_in(json.dumps(dashboard))
    assert used - OF_GRAFANA <= declared
    assert declared - {"request_id"} <= used


@each
def test_every_panel_asks_a_data_source_that_can_be_chosen(name: str) -> None:
    dashboard = load(name)
    chosen = {
        f"${{{variable['name']}}}": variable["query"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "datasource"
    }
    for panel in panels_of(dashboard):
        for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
            assert chosen[source["uid"]] == source["type"], panel["title"]


def provisioned() -> dict[str, dict[str, Any]]:
    """The provisioned data sources by uid."""
    text = (REPOSITORY / "monitoring/grafana/provisioning/datasources/reqtrail.yml").read_text()
    return {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}


@each
def test_data_sources_start_with_the_provisioned_ones(name: str) -> None:
    sources = provisioned()
    for variable in load(name)["templating"]["list"]:
        if variable["type"] == "datasource":
            assert sources[variable["current"]["value"]]["type"] == variable["query"]


@each
def test_links_keep_the_time_and_the_request_id(name: str) -> None:
    dashboard = load(name)
    [link] = dashboard["links"]
    assert link["keepTime"]
    assert link["includeVars"]
    assert set(link["tags"]) == set(dashboard["tags"])
    assert "request_id" in {variable["name"] for variable in dashboard["templating"]["list"]}


def overrides(panel: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """The links of a column of a table."""
    return [
        link
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == column
        for field in override["properties"]
        if field["id"] == "links"
        for link in field["value"]
    ]


def test_every_table_of_requests_links_each_id_to_its_log_lines() -> None:
    tables = [
        panel
        for name in NAMES
        for panel in panels_of(load(name))
        if panel["type"] == "table" and "request_id" in panel["targets"][0].get("rawSql", "").split("FROM")[0]
    ]
    assert len(tables) >= 5
    for panel in tables:
        [logs, look_up] = overrides(panel, "request_id")
        assert logs["url"].startswith("/explore?"), panel["title"]
        assert "%7C%20request_id%3D%5C%22${__value.raw}%5C%22" in logs["url"], panel["title"]
        assert "${__from}" in logs["url"], panel["title"]
        assert look_up["url"] == "/d/reqtrail-error-tracking?var-request_id=${__value.raw}&${__url_time_range}"


def test_exemplars_open_the_log_lines_of_their_request() -> None:
    destinations = provisioned()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {destination["name"] for destination in destinations} == {"request_id"}
    assert not [destination for destination in destinations if "datasourceUid" in destination]  # would ask for a trace
    [logs, look_up] = [destination["url"] for destination in destinations]
    [panes] = parse_qs(urlsplit(logs).query)["panes"]
    # Grafana takes $${...} in its files for ${...} itself.
    [query] = json.loads(panes.replace("$${__value.raw}", "some-id"))["logs"]["queries"]
    assert query["expr"] == '{service=~".+"} | request_id="some-id"'
    assert query["datasource"] == {"type": "loki", "uid": "loki"}
    assert look_up == "/d/reqtrail-error-tracking?var-request_id=$${__value.raw}"


def test_percentiles_stand_beside_a_heatmap_and_have_exemplars() -> None:
    for name in ("golden-signals", "celery-deep-dive"):
        kinds = {panel["type"] for panel in panels_of(load(name))}
        assert "heatmap" in kinds
    for query in ALL:
        if query.text.startswith("histogram_quantile") and not query.instant:
            assert query.target["exemplar"], str(query)


def test_rates_follow_the_range_that_is_shown() -> None:
    for query in ALL:
        if query.language == "promql":
            assert "[5m]" not in query.text, str(query)
        if query.language == "logql" and "count_over_time" in query.text:
            assert "[$__auto]" in query.text, str(query)


def test_letters_of_queries_are_unique_in_a_panel() -> None:
    assert len({str(query) + query.text for query in ALL}) == len(ALL)


@each
def test_a_dashboard_has_queries(name: str) -> None:
    assert len(list(queries_of(name))) >= 12
