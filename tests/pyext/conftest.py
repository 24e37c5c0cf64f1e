"""What several files of tests start from."""

from pathlib import Path

import pytest

from reqtrail.metrics import Counter, Histogram, Segment


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    """A segment with a counter, which has an exemplar, and a histogram."""
    segment = Segment("test", str(tmp_path), capacity_bytes=16 << 20)
    Counter("hits", "Hits", ["a"], segment=segment).labels("x").inc(3, {"request_id": "abc"})
    Histogram("wait", "Wait", segment=segment).observe(1)
    return segment
