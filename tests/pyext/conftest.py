"""What several files of tests start from."""

import logging
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest

import reqtrail.logging
from reqtrail.metrics import Counter, Histogram, Segment


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    """A segment with a counter, which has an exemplar, and a histogram."""
    segment = Segment("test", str(tmp_path), capacity_bytes=16 << 20)
    Counter("hits", "Hits", ["a"], segment=segment).labels("x").inc(3, {"request_id": "abc"})
    Histogram("wait", "Wait", segment=segment).observe(1)
    return segment


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No application is installed, whatever tests before have left."""
    monkeypatch.setattr("reqtrail._installations._there", WeakSet())


@pytest.fixture
def logging_undone() -> Iterator[None]:
    """Afterwards neither our set-up of logging is there, nor what a server made of its own loggers."""
    yield
    reqtrail.logging.reset()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "hypercorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
