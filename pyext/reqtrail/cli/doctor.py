"""`reqtrail doctor`: is the chain of an installation whole, and if not, how is it mended?"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reqtrail.cli import exit_codes, options
from reqtrail.cli.checks import Given, Result
from reqtrail.cli.checks.api import check_api, check_metrics
from reqtrail.cli.checks.database import check_database
from reqtrail.cli.checks.logs import check_logs
from reqtrail.cli.checks.monitoring import check_alertmanager, check_loki, check_prometheus
from reqtrail.cli.json_output import to_json
from reqtrail.cli.output import console, print_plain
from reqtrail.cli.sources.loki import DEFAULT_SELECTOR

EXAMPLES = """
Examples:

  reqtrail doctor --dsn postgresql://monitor@db/shop --api http://127.0.0.1:8000/health

  reqtrail doctor --logs '/var/log/shop/*.log' --prometheus http://prometheus:9090 --alertmanager http://alerts:9093

It sends two requests to --api and makes one tagged transaction in each --dsn; it changes nothing.

Exit codes: 0 nothing failed, 1 a check failed, 2 wrong usage.
"""
_STEPS = (check_database, check_api, check_metrics, check_logs, check_loki, check_prometheus, check_alertmanager)
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def doctor(
    dsn: options.Dsns = None,
    api: options.Api = None,
    metrics: options.Metrics = None,
    logs: options.Logs = None,
    loki: options.Loki = None,
    loki_selector: options.LokiSelector = DEFAULT_SELECTOR,
    loki_tenant: options.LokiTenant = None,
    prometheus: options.Prometheus = None,
    alertmanager: Annotated[
        str | None,
        typer.Option("--alertmanager", parser=options.url, metavar="URL", help="The address of Alertmanager."),
    ] = None,
    since: options.Since = timedelta(hours=24),
    json: options.Json = False,
    config: options.Config = None,  # noqa: ARG001 - its callback has read it
) -> None:
    """Check an installation step by step, from the database to the alerts, and say how to mend what fails."""
    given = Given(
        probe_id=f"reqtrail-doctor-{secrets.token_hex(8)}",
        dsns=dsn or (),
        api=api,
        metrics=metrics or (),
        logs=logs or (),
        loki=loki,
        loki_selector=loki_selector,
        loki_tenant=loki_tenant,
        prometheus=prometheus,
        alertmanager=alertmanager,
        since=since,
    )
    results = [result for step in _STEPS for result in step(given)]
    if all(result.state == "skipped" for result in results):
        raise typer.BadParameter("nothing to check: give at least one of --dsn, --api, --logs, --prometheus and so on")
    if json:
        print_plain(to_json({"passed": _passed(results), "checks": [asdict(result) for result in results]}))
    else:
        _print(results, console())
    raise typer.Exit(exit_codes.OK if _passed(results) else exit_codes.NEGATIVE)


def _passed(results: Sequence[Result]) -> bool:
    return not any(result.state == "failed" for result in results)


def _print(results: Sequence[Result], to: Console) -> None:
    part = ""
    for result in results:
        if result.part != part:
            part = result.part
            to.print(Text(part, "bold"))
        line = Table.grid(padding=(0, 1))
        line.add_column(width=7, no_wrap=True)
        line.add_column(width=15, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(Text(result.state, _STYLES[result.state]), result.check, Text(_told(result)))
        to.print(Padding(line, (0, 0, 0, 2)))
    counts = {state: sum(1 for result in results if result.state == state) for state in _STYLES}
    to.print(Text(f"\n{', '.join(f'{count} {state}' for state, count in counts.items() if count)}", "bold"))


def _told(result: Result) -> str:
    if result.state == "skipped":
        return f"pass {result.remedy}"
    return f"{result.told}\n-> {result.remedy}" if result.remedy else result.told
