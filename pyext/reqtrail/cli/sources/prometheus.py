"""Exemplars of a request from Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from reqtrail.cli.sources import Found, SourceError
from reqtrail.cli.sources.http_api import get_json, shown
from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.timeline import Event
from reqtrail.cli.wording import counted

DEFAULT_SELECTOR = '{__name__=~"http_request.+|celery_task.+|reqtrail_db_pool_wait.+|.+_errors_total"}'
EXEMPLAR_LABEL = "request_id"
_NOT_SHOWN = ("__name__", "instance", "job", "le")


class PrometheusSource:
    """Prometheus, by its HTTP API: query_exemplars."""

    kind = "prometheus"

    def __init__(self, url: str, since: timedelta, *, selector: str = DEFAULT_SELECTOR) -> None:
        """Make one.

        Args:
            url: Its address; user and password may be in it.
            since: How far back to look. Prometheus keeps exemplars in memory, the last 100,000 by default.
            selector: The series whose exemplars are looked through.
        """
        self._url = url
        self._since = since
        self._selector = selector
        self.name = shown(url)

    def collect(self, request_id: str) -> Found:
        """Ask it. Raises SourceError."""
        now = datetime.now(timezone.utc)
        start = now - self._since
        answer = get_json(
            self._url,
            "/api/v1/query_exemplars",
            parameters={"query": self._selector, "start": str(start.timestamp()), "end": str(now.timestamp())},
        )
        try:
            events = list(self._events(answer["data"], request_id))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SourceError("the answer is not one of Prometheus's query_exemplars: is the address right?") from error
        return Found(events, note=f"{counted(len(events), 'exemplar')} of it, in {len(answer['data'])} series with any")

    def _events(self, data: list[dict[str, Any]], request_id: str) -> Iterator[Event]:
        for series in data:
            for exemplar in series["exemplars"]:
                if exemplar["labels"].get(EXEMPLAR_LABEL) == request_id:
                    time, value = parse_moment(float(exemplar["timestamp"])), float(exemplar["value"])
                    if time is not None and math.isfinite(value):
                        yield exemplar_event(series["seriesLabels"], value, time, self.name)


def exemplar_event(labels: Mapping[str, str], value: float, time: datetime, source: str) -> Event:
    """The event of an exemplar: its series, without the labels that only say where it was scraped, and its value."""
    shown_labels = ", ".join(f'{name}="{text}"' for name, text in sorted(labels.items()) if name not in _NOT_SHOWN)
    name = f"{labels.get('__name__', '')}{{{shown_labels}}} {value:g}"
    return Event("exemplar", name, source, time, details={"series": dict(labels), "value": value})
