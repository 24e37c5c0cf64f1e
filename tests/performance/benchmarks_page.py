"""docs/benchmarks.md: all benchmarks in one table, with the machine, the versions and the commands."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence

from devstack.postgres_tree import REPOSITORY
from tests.performance.report import BenchRow, number, ratio, reaches_goal

PAGE = REPOSITORY / "docs" / "benchmarks.md"
_INTRODUCTION = """\
# Benchmarks

What `make bench` measured, ours and the peers' in one run. It writes this page. A ratio says how many times as much the
peer takes (or, where more is better, how many times as much ours gives); ours is a ratio itself where its unit says so.
The spread is half the distance between the least and the greatest of the repeated measurements, as a part of ours.
The noise of the p99 through uvicorn is that spread of one server without a middleware beside another such server.
"""
_HEAD = ["| What | Goal | Ours | Spread | Peer | Ratio |", "|---|---|---|---|---|---|"]


def page(suites: Mapping[str, Sequence[BenchRow]]) -> str:
    """The page, in Markdown."""
    rows = [row for suite in suites.values() for row in suite]
    missed = [row for row in rows if reaches_goal(row) is False]
    lines = [
        _INTRODUCTION,
        *_machine(),
        "",
        *_HEAD,
    ]
    lines += [_line(row) for row in rows]
    lines += ["", "## Short of the goal", ""]
    lines += [f"- {row['name']}: {_ours(row)}, the goal is {_goal(row)}" for row in missed] or ["Nothing."]
    lines += ["", "## To repeat it", "", "```"]
    lines += dict.fromkeys(row["command"] for row in rows)
    return "\n".join([*lines, "```", ""])


def _line(row: BenchRow) -> str:
    peers = "<br>".join(f"{name}: {number(value)}" for name, value in row["peers"].items())
    ratios = "<br>".join(filter(None, (ratio(row, value) for value in row["peers"].values())))
    spread = f"{row['spread'] * 100:.0f} %"
    return f"| {row['name']} | {_goal(row)} | {_ours(row)} | {spread} | {peers or '-'} | {ratios or '-'} |"


def _goal(row: BenchRow) -> str:
    if row["goal"] is None:
        return "-"
    return f"{'≤' if row['better'] == 'lower' else '≥'} {number(row['goal'])}"


def _ours(row: BenchRow) -> str:
    return f"{number(row['ours'])} {row['unit']}"


def _machine() -> list[str]:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    postgres = subprocess.run(["pg_config", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    hardware = f"{os.cpu_count()} virtual cores ({platform.machine()}), {gigabytes:.0f} GiB"
    return [f"{hardware}; {system}, {postgres}, CPython {platform.python_version()}."]
