"""The native gauge type, and a Segment object that was never opened."""

import os
from pathlib import Path

import pytest

from reqtrail import _native


def _segment(directory: Path) -> _native.Segment:
    return _native.Segment("test", str(directory), capacity_bytes=8 << 20, max_series=100)


def test_a_gauge_is_set_and_changed(tmp_path: Path) -> None:
    segment = _segment(tmp_path)
    gauge = _native.Gauge("jobs", "Jobs", ("queue",), ())
    gauge._bind(segment)
    child = gauge.labels("mail")
    child.set(2)
    child.inc()
    child.inc(amount=0.5)
    child.dec(5)
    assert child._own_value() == -1.5
    assert b'# TYPE jobs gauge\njobs{queue="mail"} -1.5\n' in segment.render()[0]
    assert gauge.labels(queue="mail") is child


def test_a_forked_child_has_parts_of_its_own_that_go_with_it(tmp_path: Path) -> None:
    segment = _segment(tmp_path)
    gauge = _native.Gauge("jobs", "Jobs", (), ())
    gauge._bind(segment)
    gauge.inc(3)
    pid = os.fork()
    if pid == 0:
        gauge.inc()
        os._exit(0 if gauge._own_value() == 1 and b"\njobs 4\n" in segment.render()[0] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"\njobs 3\n" in segment.render()[0]


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Invalid multiprocess mode: 'average'"):
        _native.Gauge("jobs", "Jobs", (), (), "average")
    segment = _segment(tmp_path)
    latest = _native.Gauge("latest", "Latest", (), (), "mostrecent")
    latest._bind(segment)
    with pytest.raises(RuntimeError, match="inc must not be called with the mostrecent mode"):
        latest.inc()
    with pytest.raises(TypeError, match="one argument is taken: value"):
        latest.set()  # type: ignore[call-arg]  # the mistake that is tested
    family = _native.Gauge("jobs", "Jobs", ("queue",), ())
    with pytest.raises(ValueError, match="gauge metric is missing label values"):
        family.set(1)


def test_a_segment_that_was_not_opened_is_refused() -> None:
    segment = _native.Segment.__new__(_native.Segment)
    with pytest.raises(TypeError, match="was not called"):
        segment.render()
    with pytest.raises(TypeError, match="was not called"):
        _ = segment.path
    with pytest.raises(TypeError, match="was not called"):
        _native.Counter("jobs", "Jobs", (), ())._bind(segment)
