"""The metrics that this process itself counts, in a segment that is made for the tests."""

from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from reqtrail import metrics


@pytest.fixture(scope="session", autouse=True)
def segment_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Opens the segment in a temporary folder, unless tests before have opened one. For the import in a conftest.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQTRAIL_METRICS_DIR", str(tmp_path_factory.mktemp("metrics", numbered=True)))
        metrics.open_segment()
        yield


def samples(name: str, **labels: str) -> list[Sample]:
    """The samples of a name with these labels, as prometheus_client's OpenMetrics parser reads them."""
    body, _ = metrics.render("application/openmetrics-text; version=1.0.0")
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]  # untyped there
    return [
        sample
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def total(name: str, **labels: str) -> float:
    """The sum of the samples with these labels; 0 when there is none."""
    return sum(sample.value for sample in samples(name, **labels))
