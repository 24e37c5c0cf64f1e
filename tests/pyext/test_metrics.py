"""Counter and Histogram as an application uses them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Exemplar, Sample

import reqtrail
from reqtrail.metrics import LATENCY_BUCKETS, Counter, Histogram, Segment, render

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment("test", str(tmp_path))


@pytest.fixture
def request_id() -> Iterator[str]:
    token = reqtrail.set_request_id("8f14e45f-ceea-467f-a0e6-1d2c3b4a5f60")
    yield "8f14e45f-ceea-467f-a0e6-1d2c3b4a5f60"
    reqtrail.reset_request_id(token)


def samples(segment: Segment, accept: str = OPEN_METRICS) -> dict[tuple[str, frozenset[tuple[str, str]]], Sample]:
    """Every sample of the segment, as prometheus_client's own parser reads it."""
    body, content_type = render(accept, segment=segment)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample
        for family in parse(body.decode())
        for sample in family.samples
    }


def value(segment: Segment, name: str, **labels: str) -> float:
    return samples(segment)[name, frozenset(labels.items())].value


def exemplar(segment: Segment, name: str, **labels: str) -> Exemplar | None:
    return samples(segment)[name, frozenset(labels.items())].exemplar


def test_a_counter_counts(segment: Segment) -> None:
    counter = Counter("hits", "Hits", segment=segment)
    counter.inc()
    counter.inc(2)
    counter.inc(amount=0.5)
    assert value(segment, "hits_total") == 3.5


def test_a_metric_without_labels_is_there_before_its_first_use(segment: Segment) -> None:
    Counter("hits", "Hits", segment=segment)
    Histogram("wait_seconds", "Wait", segment=segment)
    assert value(segment, "hits_total") == 0
    assert value(segment, "wait_seconds_count") == 0


def test_labels_by_position_and_by_keyword_are_the_same_child(segment: Segment) -> None:
    counter = Counter("hits", "Hits", ["method", "code"], segment=segment)
    child = counter.labels("GET", 200)
    assert counter.labels(code="200", method="GET") is child
    assert isinstance(child, Counter)
    child.inc()
    assert value(segment, "hits_total", method="GET", code="200") == 1


def test_a_histogram_sorts_into_buckets(segment: Segment) -> None:
    histogram = Histogram("size_bytes", "Sizes", ["kind"], buckets=(1, "2.5", 10), segment=segment)
    for amount in (0, 1, 2, 100):
        histogram.labels("x").observe(amount)
    counts = [value(segment, "size_bytes_bucket", kind="x", le=le) for le in ("1.0", "2.5", "10.0", "+Inf")]
    assert counts == [2, 3, 3, 4]
    assert value(segment, "size_bytes_count", kind="x") == 4
    assert value(segment, "size_bytes_sum", kind="x") == 103


def test_the_default_buckets_are_those_of_prometheus_client() -> None:
    from prometheus_client import Histogram as Peer

    assert (*LATENCY_BUCKETS, float("inf")) == Peer.DEFAULT_BUCKETS


def test_names_are_put_together_as_in_prometheus_client(segment: Segment) -> None:
    Counter("sent_total", "Sent", namespace="app", subsystem="mail", unit="bytes", segment=segment).inc()
    Histogram("wait", "Wait", namespace="app", unit="seconds", segment=segment)
    assert value(segment, "app_mail_sent_bytes_total") == 1
    assert value(segment, "app_wait_seconds_count") == 0


def test_the_same_definition_again_gives_the_same_values(segment: Segment) -> None:
    Counter("hits_total", "Hits", ["a"], segment=segment).labels("x").inc()
    Counter("hits", "Hits", ("a",), segment=segment).labels("x").inc()
    assert value(segment, "hits_total", a="x") == 2


def test_both_formats_say_the_same(segment: Segment) -> None:
    Counter("hits", "Hits", ["a"], segment=segment).labels("x").inc(3)
    Histogram("wait_seconds", "Wait", segment=segment).observe(0.3)
    text, openmetrics = samples(segment, ""), samples(segment)
    assert {key: sample.value for key, sample in text.items()} == {
        key: sample.value for key, sample in openmetrics.items()
    }


class TestExemplars:
    def test_the_running_request_is_the_exemplar(self, segment: Segment, request_id: str) -> None:
        Counter("hits", "Hits", segment=segment).inc(2)
        Histogram("wait_seconds", "Wait", segment=segment).observe(0.3)
        counted = exemplar(segment, "hits_total")
        observed = exemplar(segment, "wait_seconds_bucket", le="0.5")
        assert counted is not None
        assert observed is not None
        assert (counted.labels, counted.value) == ({"request_id": request_id}, 2)
        assert (observed.labels, observed.value) == ({"request_id": request_id}, 0.3)
        assert exemplar(segment, "wait_seconds_bucket", le="0.75") is None

    def test_outside_of_a_request_there_is_none(self, segment: Segment) -> None:
        Counter("hits", "Hits", segment=segment).inc()
        assert exemplar(segment, "hits_total") is None

    def test_one_that_is_given_wins_and_an_empty_one_means_none(self, segment: Segment, request_id: str) -> None:
        counter = Counter("hits", "Hits", ["a"], segment=segment)
        counter.labels("given").inc(exemplar={"trace_id": "4bf92f", "note": "ä\\\n"})
        counter.labels("none").inc(exemplar={})
        given = exemplar(segment, "hits_total", a="given")
        assert given is not None
        assert given.labels == {"trace_id": "4bf92f", "note": "ä\\\n"}
        assert exemplar(segment, "hits_total", a="none") is None

    def test_the_text_format_has_none(self, segment: Segment, request_id: str) -> None:
        Counter("hits", "Hits", segment=segment).inc()
        assert request_id.encode() not in render("text/plain", segment=segment)[0]

    def test_a_request_id_over_118_characters_gets_none(self, segment: Segment) -> None:
        counter = Counter("hits", "Hits", ["a"], segment=segment)
        for length in (118, 119):
            token = reqtrail.set_request_id("x" * length)
            counter.labels(length).inc()
            reqtrail.reset_request_id(token)
        assert exemplar(segment, "hits_total", a="118") is not None
        assert exemplar(segment, "hits_total", a="119") is None
        assert value(segment, "hits_total", a="119") == 1

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"a": "x" * 128}, "Exemplar labels have 129 UTF-8 characters, exceeding the limit of 128"),
            ({"a": "ä" * 100}, "136 bytes"),
            ({"a b": "x"}, "Invalid label metric name"),
            ({"a": "\ud800"}, "surrogates not allowed"),
        ],
    )
    def test_a_wrong_one_is_refused(self, segment: Segment, labels: dict[str, str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Counter("hits", "Hits", segment=segment).inc(exemplar=labels)
        assert value(segment, "hits_total") == 0

    @pytest.mark.parametrize("wrong", ["id", {"a": 1}, {1: "a"}, [("a", "b")]])
    def test_one_of_a_wrong_type_is_refused(self, segment: Segment, wrong: dict[str, str]) -> None:
        with pytest.raises(TypeError, match="exemplar"):
            Counter("hits", "Hits", segment=segment).inc(exemplar=wrong)


class TestTheErrorsOfPrometheusClient:
    @pytest.mark.parametrize("amount", [-1, -0.5, float("nan")])
    def test_a_counter_never_goes_down(self, segment: Segment, amount: float) -> None:
        counter = Counter("hits", "Hits", segment=segment)
        with pytest.raises(ValueError, match="non-negative"):
            counter.inc(amount)
        assert value(segment, "hits_total") == 0

    def test_a_family_with_labels_cannot_count(self, segment: Segment) -> None:
        with pytest.raises(ValueError, match="counter metric is missing label values"):
            Counter("hits", "Hits", ["a"], segment=segment).inc()
        with pytest.raises(ValueError, match="histogram metric is missing label values"):
            Histogram("wait", "Wait", ["a"], segment=segment).observe(1)

    def test_wrong_labels(self, segment: Segment) -> None:
        counter = Counter("hits", "Hits", ["a", "b"], segment=segment)
        with pytest.raises(ValueError, match="Incorrect label count"):
            counter.labels("x")
        with pytest.raises(ValueError, match="Incorrect label count"):
            counter.labels()
        with pytest.raises(ValueError, match="Incorrect label names"):
            counter.labels(a="x", c="y")
        with pytest.raises(ValueError, match="Incorrect label names"):
            counter.labels(a="x")
        with pytest.raises(ValueError, match="Can't pass both"):
            counter.labels("x", b="y")
        with pytest.raises(ValueError, match="already has labels set"):
            counter.labels("x", "y").labels("x", "y")
        with pytest.raises(ValueError, match="No label names were set"):
            Counter("plain", "Plain", segment=segment).labels("x")

    @pytest.mark.parametrize("name", ["1st", "a-b", "a b", "ä", "\ud800", "_total"])
    def test_bad_names(self, segment: Segment, name: str) -> None:
        with pytest.raises(ValueError, match=r"Invalid metric name|surrogates"):
            Counter(name, "?", segment=segment)

    def test_an_empty_name(self) -> None:
        with pytest.raises(ValueError, match="Metric name should not be empty"):
            Counter("", "?")

    @pytest.mark.parametrize(
        ("labels", "message"),
        [(["__a"], "Reserved"), (["a-b"], "Invalid"), ([""], "Invalid"), (["a", "a"], "Duplicate")],
    )
    def test_bad_label_names(self, labels: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=f"{message} label metric name"):
            Counter("hits", "Hits", labels)

    def test_a_histogram_keeps_le_for_itself(self) -> None:
        with pytest.raises(ValueError, match="Reserved label metric name: 'le'"):
            Histogram("wait", "Wait", ["le"])

    @pytest.mark.parametrize(
        ("buckets", "message"),
        [((), "at least two buckets"), ((float("inf"),), "at least two buckets"), ((2, 1), "sorted order")],
    )
    def test_bad_buckets(self, buckets: tuple[float, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Histogram("wait", "Wait", buckets=buckets)

    def test_another_definition_under_the_same_name(self, segment: Segment) -> None:
        Counter("hits", "Hits", ["a"], segment=segment)
        with pytest.raises(ValueError, match="Duplicated timeseries: 'hits'"):
            Counter("hits", "Hits", ["b"], segment=segment)
        with pytest.raises(ValueError, match="Duplicated timeseries: 'hits'"):
            Histogram("hits", "Hits", segment=segment)

    def test_label_names_are_not_one_string(self) -> None:
        with pytest.raises(TypeError, match="not one str"):
            Counter("hits", "Hits", "method")

    def test_amounts_are_numbers(self, segment: Segment) -> None:
        counter = Counter("hits", "Hits", segment=segment)
        with pytest.raises(TypeError):
            counter.inc("1")  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(TypeError):
            counter.inc(1, None, 2)  # type: ignore[call-arg]  # the mistake under test
        with pytest.raises(TypeError):
            Histogram("wait", "Wait", segment=segment).observe()  # type: ignore[call-arg]  # the mistake under test


def test_over_the_cap_label_sets_share_the_overflow_series(tmp_path: Path) -> None:
    segment = Segment("test", str(tmp_path), max_series=3)
    counter = Counter("hits", "Hits", ["path"], segment=segment)
    for number in range(10):
        counter.labels(f"/{number}").inc()
    assert value(segment, "hits_total", path="/2") == 1
    assert value(segment, "hits_total", path="__overflow__") == 7
    assert value(segment, "reqtrail_metrics_series_dropped_total") == 7
    assert segment.series == 3
    assert segment.series_dropped == 7


def test_a_child_keeps_its_segment_alive(tmp_path: Path) -> None:
    child = Counter("hits", "Hits", ["a"], segment=Segment("test", str(tmp_path))).labels("x")
    child.inc()
    assert value(Segment("test", str(tmp_path)), "hits_total", a="x") == 1


def test_a_label_value_that_is_no_text_is_refused(segment: Segment) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        Counter("hits", "Hits", ["a"], segment=segment).labels("\ud800")


class TestSegmentErrors:
    @pytest.mark.parametrize("service", ["", "../evil", ".hidden", "a b", "x" * 101])
    def test_a_service_name_is_a_file_name(self, tmp_path: Path, service: str) -> None:
        with pytest.raises(ValueError, match="Invalid service name"):
            Segment(service, str(tmp_path))

    def test_a_directory_that_cannot_be_made(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no/parent"):
            Segment("test", str(tmp_path / "no" / "parent"))

    def test_a_symbolic_link_is_not_safe(self, tmp_path: Path) -> None:
        (tmp_path / "test.metrics").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PermissionError, match="symbolic link"):
            Segment("test", str(tmp_path))

    def test_an_unusable_file_is_set_aside_and_counted(self, tmp_path: Path) -> None:
        (tmp_path / "test.metrics").write_bytes(b"not a segment")
        assert Segment("test", str(tmp_path)).set_aside == 1
        assert [path.read_bytes() for path in tmp_path.glob("test.metrics.bad-*")] == [b"not a segment"]
