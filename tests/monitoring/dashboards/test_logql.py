"""Every query in the words of Grafana's own grammars, and the log lines that LogQL selects."""

import json
import re

import pytest

from devstack.postgres_tree import REPOSITORY
from tests.monitoring.dashboards.collected import STAGES, selects
from tests.monitoring.dashboards.log_lines import lines_of
from tests.monitoring.dashboards.logql_trees import filled_in, parsed, tree_of
from tests.monitoring.dashboards.panel_queries import ALL, PanelQuery
from tests.monitoring.dashboards.watched_application import WatchedApplication
from tests.waiting import wait_for

LOGQL = [query for query in ALL if query.language == "logql"]
ALLOY = (REPOSITORY / "monitoring/alloy/config.alloy").read_text()


@pytest.mark.parametrize("language", ["promql", "logql"])
def test_every_query_parses(language: str) -> None:
    queries = [query for query in ALL if query.language == language]
    assert len(queries) >= 5
    trees = parsed([(language, filled_in(query)) for query in queries])
    wrong = {str(query): tree["errors"] for query, tree in zip(queries, trees, strict=True) if tree["errors"]}
    assert wrong == {}


@pytest.mark.parametrize(("language", "text"), [("promql", "sum by (a) (rate(x[5m])"), ("logql", '{a="b"} | json |')])
def test_the_grammars_find_errors(language: str, text: str) -> None:
    [tree] = parsed([(language, text)])
    assert tree["errors"] != []


@pytest.mark.parametrize("query", LOGQL, ids=str)
def test_no_label_of_loki_but_service_env_and_level_is_selected(query: PanelQuery) -> None:
    [selector] = {text for name, text in tree_of(query) if name == "Selector"}
    labels = {re.split("[=!]", part)[0].strip() for part in selector.strip("{}").split(",")}
    assert labels <= {"service", "env", "level"}


@pytest.mark.parametrize("query", LOGQL, ids=str)
def test_a_query_selects_lines_that_the_application_wrote(watched: WatchedApplication, query: PanelQuery) -> None:
    nodes = tree_of(query, request_id=watched.finished_id)
    wait_for(lambda: any(selects(nodes, line) for line in lines_of(watched)), 30)


@pytest.mark.parametrize("query", LOGQL, ids=str)
def test_a_line_is_made_of_fields_that_lines_have(watched: WatchedApplication, query: PanelQuery) -> None:
    fields = {name for line in lines_of(watched) for name in json.loads(line.line)}
    assert set(re.findall(r"\{\{\.(\w+)\}\}", query.text)) <= fields


def test_one_query_shows_the_lines_of_the_api_the_worker_and_the_server(watched: WatchedApplication) -> None:
    answer = watched.send(("GET", "/api/v1/trigger-error"))
    request_id = answer.headers["X-Request-ID"]
    watched.fail_a_task(request_id)
    [query] = [query for query in LOGQL if query.panel == "Log lines of the request"]
    nodes = tree_of(query, request_id=request_id)

    def services() -> set[str]:
        return {line.labels["service"] for line in lines_of(watched) if selects(nodes, line)}

    wait_for(lambda: services() == {"api", "worker", "postgres"}, 30)


def test_the_look_up_without_an_id_selects_nothing(watched: WatchedApplication) -> None:
    [query] = [query for query in LOGQL if query.panel == "Log lines of the request"]
    nodes = tree_of(query, request_id="")
    assert not [line for line in lines_of(watched) if selects(nodes, line)]


def test_labels_are_service_env_and_level_only(watched: WatchedApplication) -> None:
    lines = list(lines_of(watched))
    assert {frozenset(line.labels) for line in lines} == {frozenset({"service", "env", "level"})}
    assert {"ERROR", "INFO"} <= {line.labels["level"] for line in lines}


@pytest.mark.parametrize("service", ["api", "postgres"])
def test_alloy_has_the_stages_of_promtail(service: str) -> None:
    block = ALLOY[ALLOY.index(f'loki.process "{"application" if service == "api" else service}"') :]
    block = block[: block.index("forward_to")]
    for stage in STAGES[service]:
        [(kind, options)] = stage.items()
        if kind == "json":
            pairs = ", ".join(f'{name} = "{key}"' for name, key in options["expressions"].items())
            assert f"expressions = {{{pairs}}}" in block
        elif kind == "regex":
            assert f"expression = `{options['expression']}`" in block
        elif kind == "timestamp":
            assert f'format = "{options["format"]}"' in block
        elif kind in {"labels", "structured_metadata"}:
            pairs = ", ".join(f'{name} = ""' for name in options)
            assert re.search(rf"stage\.{kind} \{{\s+values = \{{{pairs}\}}", block)
        else:
            assert kind == "labelallow"
            kept = ", ".join(f'"{name}"' for name in options)
            assert re.search(rf"stage\.label_keep \{{\s+values = \[{kept}\]", block)


def test_alloy_refers_to_components_that_it_has() -> None:
    components = set(re.findall(r'^([\w.]+) "(\w+)" \{', ALLOY, re.MULTILINE))
    references = set(re.findall(r"\b((?:loki|local)\.[a-z_.]+)\.(\w+)\.(?:receiver|targets)", ALLOY))
    assert references
    assert references <= components
    assert ALLOY.count("{") == ALLOY.count("}")
