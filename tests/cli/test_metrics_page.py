"""Exemplars on pages of /metrics, and answers of servers that are not what they should be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.loki import LokiSource
from reqtrail.cli.sources.metrics_page import MetricsPageSource, exemplars
from reqtrail.cli.sources.prometheus import PrometheusSource
from tests.cli.json_server import JsonServer

PAGE = r"""# TYPE http_requests counter
http_requests_total{method="GET",handler="/a\"b\\c"} 7 # {request_id="r-1"} 1 1764000000.5
http_requests_total{method="GET",handler="/plain"} 7
wait_seconds_bucket{le="1.0"} 7 # {trace_id="x",request_id="r-2"} 0.25
wait_seconds_bucket{le="2.0"} 7 # {trace_id="x"} 0.25
up 1 # {request_id="r-3"} 1
# EOF
"""


def test_the_exemplars_of_a_page() -> None:
    found = {request_id: event for event, request_id in exemplars(PAGE, "test")}
    assert set(found) == {"r-1", "r-2", "r-3"}
    assert found["r-1"].details["series"]["handler"] == '/a"b\\c'
    assert found["r-1"].start == datetime.fromtimestamp(1764000000.5, timezone.utc)
    assert found["r-2"].details["value"] == 0.25
    assert found["r-3"].name == "up{} 1"


@given(st.text() | st.text().map(lambda text: f'a{{b="{text}"}} 1 # {{request_id="{text}"}} {text}'))
def test_no_page_is_ever_an_error(page: str) -> None:
    for event, _ in exemplars(page, "test"):
        assert event.kind == "exemplar"


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        [],
        {},
        {"data": None},
        {"data": [{}]},
        {
            "data": [
                {"seriesLabels": {}, "exemplars": [{"labels": {"request_id": "r-1"}, "value": "x", "timestamp": "y"}]}
            ]
        },
        {"data": {"result": [{"stream": {}, "values": [[]]}]}},
    ],
)
def test_a_strange_answer_is_an_error_of_the_source(body: object) -> None:
    hour = timedelta(hours=1)
    paths = ("/api/v1/query_exemplars", "/loki/api/v1/query_range")
    with JsonServer(dict.fromkeys(paths, body)) as server:
        for source in (PrometheusSource(server.url, hour), LokiSource(server.url, hour)):
            with pytest.raises(SourceError, match="is the address right"):
                source.collect("r-1")


def test_a_page_in_plain_text_has_no_exemplars() -> None:
    with (
        JsonServer({"/metrics": "up 1\n"}) as server,
        pytest.raises(SourceError, match="does not speak OpenMetrics"),
    ):
        MetricsPageSource(f"{server.url}/metrics").collect("r-1")


def test_passwords_in_addresses_are_not_shown() -> None:
    source = PrometheusSource("http://me:secret@127.0.0.1:9/prefix", timedelta(hours=1))
    assert source.name == "http://127.0.0.1:9/prefix"
    with pytest.raises(SourceError) as raised:
        source.collect("r-1")
    assert "secret" not in str(raised.value)
