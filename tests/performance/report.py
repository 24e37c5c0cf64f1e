"""What a benchmark hands over, and how it is kept and shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from rich.console import Console
from rich.table import Table

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


def _table(suite: str, rows: Sequence[BenchRow]) -> Table:
    table = Table("what", "ours", "goal", "peers", title=suite, title_justify="left")
    for row in rows:
        arrow = "<=" if row["better"] == "lower" else ">="
        reached = {True: " [green]reached[/]", False: " [red]missed[/]", None: ""}[reaches_goal(row)]
        goal = "-" if row["goal"] is None else f"{arrow} {_number(row['goal'])}{reached}"
        peers = "\n".join(f"{name}: {_number(value)}" for name, value in row["peers"].items())
        ours = f"{_number(row['ours'])} {row['unit']} ± {row['spread'] * 100:.1f} %"
        table.add_row(row["name"], ours, goal, peers)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
