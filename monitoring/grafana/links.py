"""Addresses inside Grafana that panels link to. They keep the shown range and the request id."""

from __future__ import annotations

import json
import re
from typing import TypedDict
from urllib.parse import quote

REQUEST_LOGS = '{service=~".+"} | request_id="%s" | request_id!=""'
"""LogQL of all lines of one request: of the API, the workers and PostgreSQL. An empty id selects none."""


class Link(TypedDict):
    """A link of a field, as Grafana keeps it."""

    title: str
    url: str
    targetBlank: bool


def to_logs_of(value: str) -> Link:
    """Return the link to all log lines of the request with the id `value`, a variable such as ${__value.raw}."""
    query = {"refId": "A", "datasource": {"type": "loki", "uid": "${loki}"}, "expr": REQUEST_LOGS % value}
    pane = {"datasource": "${loki}", "queries": [query], "range": {"from": "${__from}", "to": "${__to}"}}
    panes = _quoted(json.dumps({"logs": pane}, separators=(",", ":")))
    return {"title": "Log lines of this request", "url": f"/explore?schemaVersion=1&panes={panes}", "targetBlank": True}


def to_request(value: str) -> Link:
    """Return the link to the request look-up of the dashboard error-tracking."""
    url = f"/d/reqtrail-error-tracking?var-request_id={value}&${{__url_time_range}}"
    return {"title": "Look this request up", "url": url, "targetBlank": False}


def to_errors_of(endpoint: str) -> Link:
    """Return the link to the errors of an endpoint, a variable such as ${__field.labels.handler}."""
    endpoint = endpoint.replace("}", ":percentencode}")
    url = f"/d/reqtrail-error-tracking?var-endpoint={endpoint}&${{__url_time_range}}"
    return {"title": "Errors of this endpoint", "url": url, "targetBlank": False}


def _quoted(text: str) -> str:
    """Percent-encode `text`, but for the variables in it, which Grafana replaces."""
    return re.sub(r"%24%7B([\w.]+)%7D", r"${\1}", quote(text, safe=""))
