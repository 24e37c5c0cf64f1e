"""Durations and texts as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqtrail.cli.wording import counted, duration_text, shortened


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0.00 ms"),
        (0.254, "0.25 ms"),
        (9.994, "9.99 ms"),
        (9.996, "10.0 ms"),
        (99.96, "100 ms"),
        (999.6, "1.00 s"),
        (59_994, "59.99 s"),
        (59_996, "1 min"),
        (123_000, "2 min 3 s"),
        (3_599_600, "1 h"),
        (11_100_000, "3 h 5 min"),
    ],
)
def test_a_duration_is_in_the_unit_that_fits(ms: float, text: str) -> None:
    assert duration_text(ms) == text


@given(st.floats(0, 1e12))
def test_a_duration_is_never_longer_than_its_column(ms: float) -> None:
    assert len(duration_text(ms)) <= len("277777 h 46 min")


def test_one_and_many() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


@given(st.text(), st.integers(4, 50))
def test_a_shortened_text_is_one_line_that_is_not_longer(text: str, limit: int) -> None:
    line = shortened(text, limit)
    assert len(line) <= limit
    assert line.splitlines() in ([], [line])
