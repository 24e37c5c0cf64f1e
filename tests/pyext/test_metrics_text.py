"""Whatever text an application uses, prometheus_client's own parsers read it back."""

import functools
import itertools
import operator
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from reqtrail.metrics import Counter, Histogram, Segment

# Without what no UTF-8 has, and without CR: the parsers' own line splitting, not the format, gives it a meaning.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60)
# The parser takes an escaped quotation mark in an exemplar for the end of the value; the C++ tests have that case.
EXEMPLAR_TEXT = TEXT.map(lambda text: text.replace('"', ""))
LABEL_NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
POSITIVE = st.floats(min_value=0, allow_infinity=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)

_number = itertools.count()


@pytest.fixture(scope="module")
def directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as path:
        yield path


def fresh_segment(directory: str) -> Segment:
    """One for each example: what a failed example still holds must not reach the next."""
    return Segment(f"example-{next(_number)}", directory, capacity_bytes=1 << 20, max_series=100)


def openmetrics(segment: Segment) -> list[Metric]:
    body = segment.render("application/openmetrics-text")[0].decode()
    return list(parse_openmetrics(body))  # type: ignore[no-untyped-call]  # prometheus_client has not typed it


def text(segment: Segment) -> list[Metric]:
    return list(parse_text(segment.render()[0].decode()))


@given(values=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5, unique=True))
def test_label_values_come_back(directory: str, values: list[tuple[str, str]]) -> None:
    segment = fresh_segment(directory)
    counter = Counter("hits", "Hits", ["a", "b"], segment=segment)
    for number, labels in enumerate(values, start=1):
        counter.labels(*labels).inc(number)
    for families in (text(segment), openmetrics(segment)):
        family = next(family for family in families if family.name == "hits")
        shown = {(sample.labels["a"], sample.labels["b"]): sample.value for sample in family.samples}
        assert shown == {labels: number for number, labels in enumerate(values, start=1)}


@given(documentation=TEXT.map(str.strip))
def test_documentation_comes_back(directory: str, documentation: str) -> None:
    segment = fresh_segment(directory)
    Counter("hits", documentation, segment=segment)
    assert openmetrics(segment)[0].documentation == documentation
    assert text(segment)[0].documentation == documentation


@given(labels=st.dictionaries(LABEL_NAME, EXEMPLAR_TEXT, max_size=3), amount=POSITIVE)
def test_exemplars_come_back(directory: str, labels: dict[str, str], amount: float) -> None:
    assume(sum(len(name) + len(value) for name, value in labels.items()) <= 128)
    assume(sum(len(name) + len(value.encode()) + 2 for name, value in labels.items()) <= 136)
    segment = fresh_segment(directory)
    Counter("hits", "Hits", segment=segment).inc(amount, exemplar=labels)
    sample = openmetrics(segment)[0].samples[0]
    assert sample.value == amount
    if labels:
        assert sample.exemplar is not None
        assert sample.exemplar.labels == labels
        assert sample.exemplar.value == amount
    else:
        assert sample.exemplar is None


@given(
    bounds=st.lists(FINITE, min_size=1, max_size=20, unique=True).map(sorted), observed=st.lists(FINITE, max_size=20)
)
def test_a_histogram_agrees_with_its_definition(directory: str, bounds: list[float], observed: list[float]) -> None:
    segment = fresh_segment(directory)
    histogram = Histogram("size", "Sizes", buckets=bounds, segment=segment)
    for amount in observed:
        histogram.observe(amount)
    family = openmetrics(segment)[0]
    shown = {float(sample.labels["le"]): sample.value for sample in family.samples if sample.name == "size_bucket"}
    assert shown == {bound: sum(amount <= bound for amount in observed) for bound in (*bounds, float("inf"))}
    totals = {sample.name: sample.value for sample in family.samples if sample.name != "size_bucket"}
    total = functools.reduce(operator.add, observed, 0.0)  # not sum(), which is more exact than adding one by one
    if bounds[0] >= 0 and total >= 0:
        assert totals == {"size_count": len(observed), "size_sum": total}
    else:
        assert totals == {}
