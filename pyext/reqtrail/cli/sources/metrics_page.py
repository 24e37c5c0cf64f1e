"""Exemplars of a request as a service's /metrics shows them: the last one of each series."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from reqtrail.cli.sources import Found, SourceError
from reqtrail.cli.sources.http_api import get, shown
from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.sources.prometheus import EXEMPLAR_LABEL, exemplar_event
from reqtrail.cli.timeline import Event
from reqtrail.cli.wording import counted

ACCEPT_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
_LABELS = r'(?:[A-Za-z_][A-Za-z0-9_]*="(?:[^"\\]|\\.)*",?)*'
_SAMPLE = re.compile(
    rf"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{{(?P<labels>{_LABELS})\}})? (?P<value>\S+)(?: \S+)?"
    rf" # \{{(?P<exemplar>{_LABELS})\}} (?P<amount>\S+)(?: (?P<time>\S+))?"
)
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class MetricsPageSource:
    """A /metrics page that speaks OpenMetrics."""

    kind = "metrics"

    def __init__(self, url: str) -> None:
        """Make one. `url` is the page's address."""
        self._url = url
        self.name = shown(url)

    def collect(self, request_id: str) -> Found:
        """Read it. Raises SourceError."""
        response = get(self._url, headers=ACCEPT_OPENMETRICS)
        if response.status_code != 200:
            raise SourceError(f"{self.name} answered {response.status_code}")
        if not response.headers.get("content-type", "").startswith("application/openmetrics-text"):
            raise SourceError(f"{self.name} does not speak OpenMetrics, so it shows no exemplars")
        events = [event for event, of in exemplars(response.text, self.name) if of == request_id]
        return Found(
            events, note=f"{counted(len(events), 'exemplar')}; the page shows only the last one of each series"
        )


def exemplars(page: str, source: str) -> Iterator[tuple[Event, str]]:
    """The exemplars with a request id on a page in OpenMetrics, each as an event and with the id."""
    now = datetime.now(timezone.utc)
    for line in page.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        try:
            value = float(sample["amount"])
            time = parse_moment(float(sample["time"])) if sample["time"] else now
        except ValueError:
            continue
        labels = {"__name__": sample["name"], **_labels(sample["labels"] or "")}
        request_id = _labels(sample["exemplar"]).get(EXEMPLAR_LABEL)
        if request_id is not None and math.isfinite(value):
            yield exemplar_event(labels, value, time or now, source), request_id


def _labels(text: str) -> dict[str, str]:
    return {name: re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), value) for name, value in _LABEL.findall(text)}
