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
