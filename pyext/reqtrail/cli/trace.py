"""`reqtrail trace`: the whole trail of one request."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from reqtrail.cli import exit_codes, options
from reqtrail.cli.causes import Limits
from reqtrail.cli.html_page import html_page
from reqtrail.cli.json_output import trail_json
from reqtrail.cli.output import console, print_plain
from reqtrail.cli.sources import Source
from reqtrail.cli.sources.log_files import LogFilesSource
from reqtrail.cli.sources.loki import DEFAULT_SELECTOR, LokiSource
from reqtrail.cli.sources.metrics_page import MetricsPageSource
from reqtrail.cli.sources.postgres import PostgresSource
from reqtrail.cli.sources.prometheus import PrometheusSource
from reqtrail.cli.text_output import print_trail
from reqtrail.cli.trail import Trail, gather
from reqtrail.cli.wording import printable

EXAMPLES = """
Examples:

  reqtrail trace 0b8f2c9e-7d8f-4c39-a5a5-7b9a3a0d1c11 --dsn postgresql://app@db/shop --logs '/var/log/shop/*.log'

  reqtrail trace $ID --loki http://loki:3100 --prometheus http://prometheus:9090 --since 7d --html trail.html

  kubectl logs deploy/api | reqtrail trace $ID --logs - --json | jq .causes

Exit codes: 0 found, 1 not found, 2 wrong usage, 3 no source could be read.
"""


def trace(
    request_id: options.RequestId,
    dsn: options.Dsns = None,
    logs: options.Logs = None,
    loki: options.Loki = None,
    loki_selector: options.LokiSelector = DEFAULT_SELECTOR,
    loki_tenant: options.LokiTenant = None,
    prometheus: options.Prometheus = None,
    metrics: options.Metrics = None,
    since: options.Since = timedelta(hours=24),
    slow_ms: options.SlowMs = Limits.slow_ms,
    repeated: options.Repeated = Limits.repeated_calls,
    json: options.Json = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with a waterfall to FILE.")
    ] = None,
    config: options.Config = None,  # noqa: ARG001 - its callback has read it
) -> None:
    """Show everything that is known of a request, in the order of time, with the likely cause on top."""
    sources: list[Source] = [
        *(PostgresSource(one) for one in dsn or ()),
        *([LogFilesSource(logs)] if logs else []),
        *([LokiSource(loki, since, selector=loki_selector, tenant=loki_tenant)] if loki else []),
        *([PrometheusSource(prometheus, since)] if prometheus else []),
        *(MetricsPageSource(url) for url in metrics or ()),
    ]
    if not sources:
        raise typer.BadParameter(
            "nothing to look at: give --dsn, --logs, --loki, --prometheus or --metrics, or name them in reqtrail.toml"
        )
    trail = gather(request_id, sources, Limits(slow_ms, repeated))
    if html is not None:
        _write(html, html_page(trail))
    if json:
        print_plain(trail_json(trail))
    else:
        print_trail(trail, console())
    raise typer.Exit(_exit_code(trail))


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}") from error


def _exit_code(trail: Trail) -> int:
    for source in trail.sources:
        if source.state == "failed":
            print(printable(f"reqtrail: {source.name}: {source.note}"), file=sys.stderr)
    if not trail.readable:
        return exit_codes.UNREADABLE
    return exit_codes.OK if trail.found else exit_codes.NEGATIVE
