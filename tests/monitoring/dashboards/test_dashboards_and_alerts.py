"""Dashboards draw the limits of the alerts, and alerts link to dashboards that are there."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from monitoring.grafana.limits import LIMIT_OF_ALERT
from tests.monitoring import shipped
from tests.monitoring.dashboards.panel_queries import NAMES, load, panels_of

DASHBOARDS = {dashboard["uid"]: dashboard for dashboard in map(load, NAMES)}


@pytest.mark.parametrize("alert", LIMIT_OF_ALERT)
def test_a_limit_that_is_drawn_is_that_of_its_alert(alert: str) -> None:
    compared = {float(number) for number in re.findall(r"[<>]\s*([\d.e]+)", shipped.alert(alert)["expr"])}
    assert LIMIT_OF_ALERT[alert] in compared
    drawn = {
        step["value"]
        for dashboard in DASHBOARDS.values()
        for panel in panels_of(dashboard)
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    }
    assert LIMIT_OF_ALERT[alert] in drawn


def test_alerts_link_to_variables_of_dashboards() -> None:
    urls = [alert["annotations"]["dashboard_url"] for alert in shipped.alerts()]
    assert urls
    for url in urls:
        link = urlsplit(re.sub(r"\{\{.*?\}\}", "x", url))
        dashboard = DASHBOARDS[link.path.rsplit("/", 1)[1]]
        declared = {f"var-{variable['name']}" for variable in dashboard["templating"]["list"]}
        assert set(parse_qs(link.query)) <= declared, url
