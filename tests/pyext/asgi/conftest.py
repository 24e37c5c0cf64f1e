from collections.abc import Callable, Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from reqtrail import metrics

Samples = Callable[..., list[Sample]]


@pytest.fixture(scope="session", autouse=True)
def _segment_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQTRAIL_METRICS_DIR", str(tmp_path_factory.mktemp("metrics", numbered=True)))
        metrics.open_segment()
        yield


@pytest.fixture
def samples() -> Samples:
    """Returns the samples of a name with these labels, as prometheus_client's OpenMetrics parser reads them."""

    def read(name: str, **labels: str) -> list[Sample]:
        body, _ = metrics.render("application/openmetrics-text; version=1.0.0")
        families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]  # untyped there
        return [
            sample
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    return read
