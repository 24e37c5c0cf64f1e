"""What a benchmark hands over, and how it is kept and shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from rich.console import Console
from rich.table import Column, Table

BENCH = Path(__file__).resolve().parent.parent.parent / "build" / "bench"
_TABLE_WIDTH = 150


class BenchRow(TypedDict):
    """One measured quantity beside the same quantity of its peers, measured in the same run."""

    name: str
    unit: str
    ours: float
    goal: float | None
    """What `ours` should not be worse than; None: there is no goal."""
    better: Literal["lower", "higher"]
    peers: dict[str, float]
    """Name and version of the peer, and its measurement."""
    spread: float
    """Half the distance between the least and the greatest of the repeated measurements of `ours`, as a part of it."""
    command: str
    """What repeats the measurement, from the repository's root."""


def reaches_goal(row: BenchRow) -> bool | None:
    """Whether `ours` is at least as good as the goal; None if there is no goal."""
    if row["goal"] is None:
        return None
    return row["ours"] <= row["goal"] if row["better"] == "lower" else row["ours"] >= row["goal"]


def write(suite: str, rows: Sequence[BenchRow], *, console: Console | None = None) -> Path:
    """Keep the rows of a suite in build/bench/<suite>.json, and print them as a table.

    Returns:
        The file.
    """
    BENCH.mkdir(parents=True, exist_ok=True)
    path = BENCH / f"{suite}.json"
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    (console or Console(width=max(Console().width, _TABLE_WIDTH))).print(_table(suite, rows))
    return path


def ratio(row: BenchRow, peer: float) -> str:
    """How many times as much the peer takes, or how many times as much ours gives; "" if ours is a ratio itself."""
    if row["unit"].startswith("x") or row["ours"] <= 0 or peer <= 0:
        return ""
    return f"{number(peer / row['ours'] if row['better'] == 'lower' else row['ours'] / peer)} x"


def _table(suite: str, rows: Sequence[BenchRow]) -> Table:
    peers_column = Column("peers", no_wrap=True)  # each stands in the line of its ratio
    table = Table("what", "ours", "goal", peers_column, "ratio", title=suite, title_justify="left")
    for row in rows:
        arrow = "<=" if row["better"] == "lower" else ">="
        reached = {True: " [green]reached[/]", False: " [red]missed[/]", None: ""}[reaches_goal(row)]
        goal = "-" if row["goal"] is None else f"{arrow} {number(row['goal'])}{reached}"
        peers = "\n".join(f"{name}: {number(value)}" for name, value in row["peers"].items())
        ratios = "\n".join(ratio(row, value) for value in row["peers"].values())
        ours = f"{number(row['ours'])} {row['unit']} ± {row['spread'] * 100:.1f} %"
        table.add_row(row["name"], ours, goal, peers, ratios)
    return table


def number(value: float) -> str:
    """A number as people read it: three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
