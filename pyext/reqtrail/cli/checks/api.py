"""Does the API take an id and give it back, and does /metrics show it?"""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from reqtrail.cli.checks import Given, Result, skipped, verdict
from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.http_api import get, shown
from reqtrail.cli.sources.metrics_page import ACCEPT_OPENMETRICS, exemplars

_HEADER = "X-Request-ID"
_NO_ID = "this is no id"
_INSTALL = "Call reqtrail.install(app) where the application is made, and see that no proxy removes the header."


def check_api(given: Given) -> Iterator[Result]:
    """Send two requests, one with an id and one with something that is none."""
    if given.api is None:
        yield from skipped("API", ("header echoed", "bad id replaced"), "--api")
        return
    part = f"API {shown(given.api)}"
    try:
        echoed = get(given.api, headers={_HEADER: given.probe_id}).headers.get(_HEADER)
        replaced = get(given.api, headers={_HEADER: _NO_ID}).headers.get(_HEADER)
    except SourceError as error:
        yield Result(part, "header echoed", "failed", str(error), "See that the API runs, and its address.")
        return
    told = f"{_HEADER} came back" if echoed == given.probe_id else f"sent {given.probe_id}, got {echoed or 'none'}"
    yield verdict(part, "header echoed", echoed == given.probe_id, told, _INSTALL)
    good = replaced not in (None, _NO_ID)
    told = "what is no id was replaced" if good else f"what is no id was answered with {replaced or 'no header'}"
    yield verdict(part, "bad id replaced", good, told, _INSTALL)


def check_metrics(given: Given) -> Iterator[Result]:
    """Read the pages that are given, or the API's."""
    pages = list(given.metrics)
    if not pages and given.api is not None:
        pages = [str(httpx.URL(given.api).copy_with(path="/metrics", query=None))]
    if not pages:
        yield from skipped("/metrics", ("OpenMetrics", "exemplars", "workers"), "--metrics, or --api")
    for page in pages:
        part = f"metrics {shown(page)}"
        try:
            response = get(page, headers=ACCEPT_OPENMETRICS)
        except SourceError as error:
            yield Result(part, "OpenMetrics", "failed", str(error), "See that the service runs, and the address.")
            continue
        yield from _page(part, response)


def _page(part: str, response: httpx.Response) -> Iterator[Result]:
    kind = response.headers.get("content-type", "nothing")
    speaks = response.is_success and kind.startswith("application/openmetrics-text")
    complete = speaks and response.text.endswith("# EOF\n")
    told = "it serves OpenMetrics" if complete else f"status {response.status_code}, {kind}"
    remedy = "reqtrail.install(app) serves /metrics; another library's page has no exemplars without OpenMetrics."
    yield verdict(part, "OpenMetrics", complete, told, remedy)
    if not complete:
        return
    shown_ids = [request_id for _, request_id in exemplars(response.text, part)]
    told = f"{len(shown_ids)} series show a request id" if shown_ids else "no series shows a request id"
    yield verdict(
        part, "exemplars", bool(shown_ids), told, "Send a request first; ids over 118 characters are no exemplars."
    )
    workers = [line for line in response.text.splitlines() if line.startswith("celery_workers_active")]
    if not workers:
        told = "no worker of this service has been seen"
        remedy = (
            "Workers need reqtrail.celery.install(app), and the REQTRAIL_SERVICE and REQTRAIL_METRICS_DIR of the API."
        )
        yield Result(part, "workers", "warning", told, remedy)
        return
    active = any(not line.endswith(" 0") for line in workers)
    yield verdict(part, "workers", active, "a worker is up" if active else "no worker is up", "Start one.")
