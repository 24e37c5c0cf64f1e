"""Our types beside those of prometheus_client: what one does, the other does."""

import asyncio
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from reqtrail import metrics
from reqtrail.metrics import Counter, Enum, Gauge, Histogram, Segment


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment("test", str(tmp_path), capacity_bytes=16 << 20)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples but those of the segment itself."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read_text(text.decode())
        for sample in family.samples
        if not sample.name.startswith("reqtrail_") and not sample.name.endswith("_created")
    }


def use(library: Any, **where: Any) -> None:
    """A program that both libraries are to run the same way."""
    counter = library.Counter("hits_total", "Hits", ["a", "b"], "name", "space", **where)
    counter.labels("x", 1).inc()
    counter.labels(b=1, a="x").inc(2.5)
    with pytest.raises(KeyError), counter.labels("x", "errors").count_exceptions((ValueError, KeyError)):
        raise KeyError
    with pytest.raises(TypeError), counter.labels("x", "errors").count_exceptions(ValueError):
        raise TypeError
    gauge = library.Gauge("depth", "Depth", unit="bytes", **where)
    gauge.set(4)
    gauge.dec()
    gauge.inc(0.5)
    with gauge.track_inprogress():
        pass
    states = library.Enum("phase", "Phase", ["job"], states=["idle", "busy", "done"], **where)
    states.labels("one").state("busy")
    states.labels(job="two")
    library.Enum("mood", "Mood", states=["good", "bad"], **where)
    histogram = library.Histogram("wait", "Wait", ["q"], unit="seconds", buckets=[1, 2.5, "+Inf"], **where)
    for value in (0.5, 1, 2, 7):
        histogram.labels("m").observe(value)

    sizes = library.Summary("size", "Size", ["q"], unit="bytes", **where)
    for value in (1, 2.5):
        sizes.labels("m").observe(value)
    with sizes.labels("timed").time():
        pass
    sizes.remove("timed")
    build = library.Info("build", "Build", ["part"], **where)
    build.labels("api").info({"version": "1", "old": "yes"})
    build.labels(part="api").info({"version": "2"})
    library.Info("host_info", "Host", **where).info({"name": 'a"b'})
    for a, b in (("1", "x"), ("1", "y"), ("2", "x"), ("3", "z")):
        counter.labels(a, b).inc()
    counter.remove("1", "x")
    counter.remove("not", "there")
    counter.remove_by_labels({"b": "y"})
    counter.remove_by_labels({})
    counter.labels("2", "x").inc()
    removed = library.Gauge("cleared", "Cleared", ["a"], **where)
    removed.labels("x").set(1)
    removed.labels("y").set(2)
    removed.clear()
    removed.labels("y").inc()
    gauge.clear()
    states.remove("two")

    @counter.labels("x", "decorated").count_exceptions()  # type: ignore[untyped-decorator]  # the library is either
    def fails() -> None:
        """Its text."""
        raise OSError

    assert (fails.__name__, fails.__doc__) == ("fails", "Its text.")
    with pytest.raises(OSError):  # noqa: PT011 - raised above
        fails()


def test_the_same_program_gives_the_same_samples(segment: Segment, registry: CollectorRegistry) -> None:
    use(metrics, segment=segment)
    use(prometheus_client, registry=registry)
    assert samples(segment.render()[0]) == samples(prometheus_client.generate_latest(registry))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda lib, **w: lib.Counter("", "?", **w),
        lambda lib, **w: lib.Counter("x", "?", ["__a"], **w),
        lambda lib, **w: lib.Histogram("x", "?", ["le"], **w),
        lambda lib, **w: lib.Histogram("x", "?", buckets=[], **w),
        lambda lib, **w: lib.Histogram("x", "?", buckets=[2, 1], **w),
        lambda lib, **w: lib.Counter("x", "?", **w).inc(-1),
        lambda lib, **w: lib.Counter("x", "?", **w).inc(1, {"a" * 64: "b" * 65}),
        lambda lib, **w: lib.Counter("x", "?", **w).labels("a"),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).inc(),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).labels(),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).labels(b="1"),
        lambda lib, **w: lib.Counter("x", "?", ["a", "b"], **w).labels("1", b="1"),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).labels("1").labels("1"),
        lambda lib, **w: lib.Gauge("x", "?", ["a"], **w).set(1),
        lambda lib, **w: lib.Gauge("x", "?", ["a"], **w).track_inprogress(),
        lambda lib, **w: lib.Gauge("x", "?", multiprocess_mode="average", **w),
        lambda lib, **w: lib.Enum("x", "?", **w),
        lambda lib, **w: lib.Enum("x", "?", ["x"], states=["a"], **w),
        lambda lib, **w: lib.Enum("x", "?", states=["a"], **w).state("b"),
        lambda lib, **w: lib.Enum("x", "?", ["l"], states=["a"], **w).state("a"),
        lambda lib, **w: lib.Enum("x", "?", ["l"], states=["a"], **w).labels(),
        lambda lib, **w: lib.Summary("x", "?", ["quantile"], **w),
        lambda lib, **w: lib.Summary("x", "?", ["a"], **w).observe(1),
        lambda lib, **w: lib.Info("x", "?", unit="seconds", **w),
        lambda lib, **w: lib.Info("x", "?", ["a"], **w).labels("1").info({"a": "c"}),
        lambda lib, **w: lib.Info("x", "?", **w).info({"a": None}),
        lambda lib, **w: lib.Counter("x", "?", **w).remove(),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).remove(),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).remove("1", "2"),
        lambda lib, **w: lib.Counter("x", "?", **w).remove_by_labels({"a": "1"}),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).remove_by_labels({"b": "1"}),
        lambda lib, **w: lib.Counter("x", "?", ["a"], **w).remove_by_labels(["a"]),
    ],
)
def test_the_same_mistake_gives_the_same_kind_of_error(
    segment: Segment, registry: CollectorRegistry, mistake: Any
) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever it is
        mistake(prometheus_client, registry=registry)
    with pytest.raises(theirs.type):
        mistake(metrics, segment=segment)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_label_value_comes_back_from_both_parsers(segment: Segment, value: str) -> None:
    Counter("seen", "Seen", ["text"], segment=segment).labels(value).inc()
    for parse, accept in ((read_text, ""), (read_openmetrics, "application/openmetrics-text")):
        body = segment.render(accept)[0].decode()
        families = {family.name.removesuffix("_total"): family for family in parse(body)}
        assert value in [sample.labels.get("text") for sample in families["seen"].samples]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True) | st.text("a1_-: .é", min_size=1, max_size=5)
)
def test_names_of_the_old_charset_are_taken_and_no_others(segment: Segment, name: str) -> None:
    from prometheus_client.validation import _is_valid_legacy_metric_name

    if name.startswith("reqtrail_"):
        return
    if _is_valid_legacy_metric_name(name):
        Gauge(name, "?", segment=segment)
    else:
        with pytest.raises(ValueError, match="Invalid metric name"):
            Gauge(name, "?", segment=segment)


def test_decorators_span_the_awaits_of_a_coroutine_function(segment: Segment) -> None:
    busy = Gauge("busy", "Busy", segment=segment)
    errors = Counter("errors", "Errors", segment=segment)
    wait = Histogram("wait", "Wait", ["q"], segment=segment)
    seen: list[float] = []

    @busy.track_inprogress()
    @errors.count_exceptions(ValueError)
    @wait.labels("x").time()
    async def job() -> None:
        await asyncio.sleep(0.01)
        seen.append(samples(segment.render()[0])["busy", ()])
        raise ValueError

    async def both() -> None:
        await asyncio.gather(job(), job(), return_exceptions=True)

    asyncio.run(both())
    assert seen == [2, 1]
    shown = samples(segment.render()[0])
    assert (shown["busy", ()], shown["errors_total", ()]) == (0, 2)
    assert shown["wait_count", (("q", "x"),)] == 2
    assert shown["wait_sum", (("q", "x"),)] >= 0.02


def test_a_timer_takes_labels_inside_its_block(segment: Segment) -> None:
    wait = Histogram("wait", "Wait", ["q"], segment=segment)
    with wait.time() as timer:
        timer.labels("late")
    assert timer.duration is not None
    assert samples(segment.render()[0])["wait_count", (("q", "late"),)] == 1


def test_a_state_that_another_process_set_is_not_reset(segment: Segment) -> None:
    Enum("phase", "Phase", states=["a", "b"], segment=segment).state("b")
    Enum("phase", "Phase", states=["a", "b"], segment=segment)
    assert samples(segment.render()[0])["phase", (("phase", "b"),)] == 1


def test_what_is_not_supported_says_so(segment: Segment) -> None:
    with pytest.raises(TypeError, match=r"registry= is not taken.*Collector"):
        Counter("hits", "Hits", registry=prometheus_client.REGISTRY)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(NotImplementedError, match=r"set_function.*include="):
        Gauge("depth", "Depth", segment=segment).set_function(lambda: 1)
