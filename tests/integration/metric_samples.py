"""Reads single numbers out of the running application's /metrics."""

from collections.abc import Iterable

import httpx
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def samples(client: httpx.Client, name: str) -> list[Sample]:
    """All samples with this name, as the OpenMetrics parser of prometheus_client reads them."""
    response = client.get("/metrics", headers=OPENMETRICS)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    families: Iterable[Metric] = text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]  # untyped there
    return [sample for family in families for sample in family.samples if sample.name == name]


def total(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels; 0 when there is none."""
    return sum(s.value for s in samples(client, name) if labels.items() <= s.labels.items())
