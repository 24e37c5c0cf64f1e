import logging
from collections.abc import Callable

import pytest
from prometheus_client.samples import Sample

from tests import own_metrics
from tests.own_metrics import segment_of_the_tests

__all__ = ["segment_of_the_tests"]

Samples = Callable[..., list[Sample]]


@pytest.fixture
def samples() -> Samples:
    """Returns the samples of a name with these labels, as prometheus_client's OpenMetrics parser reads them."""
    return own_metrics.samples


@pytest.fixture
def growth() -> Callable[..., float]:
    """Returns by how much the sum of these samples has grown since it was first asked for."""
    before: dict[str, float] = {}

    def grown(name: str, **labels: str) -> float:
        now = own_metrics.total(name, **labels)
        return now - before.setdefault(f"{name}{labels}", now)

    return grown


@pytest.fixture
def access_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "reqtrail.access")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "reqtrail.access"]
