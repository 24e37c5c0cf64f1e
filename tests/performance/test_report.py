"""What the benchmarks' table says of a measurement."""

import re

import pytest

from tests.performance.benchmarks_page import page
from tests.performance.report import BenchRow, ratio, reaches_goal


def row(**changes: object) -> BenchRow:
    plain = BenchRow(
        name="a thing",
        unit="us",
        ours=2.0,
        goal=3.0,
        better="lower",
        peers={"a peer 1.0": 8.0},
        spread=0.05,
        command="python -m a.thing",
    )
    plain.update(changes)  # type: ignore[typeddict-item]  # each test knows the names
    return plain


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, True),
        ({"ours": 3.0}, True),
        ({"ours": 3.1}, False),
        ({"better": "higher"}, False),
        ({"better": "higher", "ours": 4.0}, True),
        ({"goal": None}, None),
    ],
)
def test_a_goal_is_reached_or_missed(changes: dict[str, object], reached: bool | None) -> None:
    assert reaches_goal(row(**changes)) is reached


def test_the_ratio_says_how_much_better_ours_is_whichever_way_is_better() -> None:
    assert ratio(row(), 8.0) == "4 x"
    assert ratio(row(better="higher"), 1.0) == "2 x"
    assert ratio(row(unit="x of no extension"), 1.0) == ""
    assert ratio(row(ours=-1.0), 8.0) == ""


def test_the_page_has_a_line_for_each_measurement_and_tells_what_misses_its_goal() -> None:
    text = page({"one": [row()], "two": [row(name="a slow thing", ours=9.0, command="python -m a.slow")]})
    assert "| a thing | ≤ 3 | 2 us | 5 % | a peer 1.0: 8 | 4 x |" in text
    missed = text.partition("## Short of the goal")[2].partition("##")[0]
    assert "a slow thing: 9 us, the goal is ≤ 3" in missed
    assert "a thing: 2" not in missed
    assert re.search(r"```\npython -m a\.thing\npython -m a\.slow\n```", text)
