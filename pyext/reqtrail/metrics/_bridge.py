"""To and from a registry of prometheus_client, which is imported when it is asked for."""

import copy
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reqtrail._native import Segment
from reqtrail.metrics._segment import open_segment

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_MISSING = "this needs prometheus_client, which is not installed: pip install prometheus-client"


class Collector:
    """Shows the segment in a registry of prometheus_client: `REGISTRY.register(Collector())`, once.

    All that the segment has comes with every scrape of that registry, exemplars included; not the `process_*` series:
    a registry of prometheus_client has its own.
    """

    def __init__(self, segment: Segment | None = None) -> None:
        """Show `segment` (default: `open_segment()`, called at the first scrape).

        Raises ImportError without prometheus_client.
        """
        _require()
        self._segment = segment

    def describe(self) -> "Iterable[Metric]":
        """Return nothing: names appear at any time, so that the registry cannot check them beforehand."""
        return []

    def collect(self) -> "Iterator[Metric]":
        """Yield the families as they are now. Raises what `open_segment()` raises."""
        from prometheus_client.openmetrics.parser import text_string_to_metric_families

        body, _ = (self._segment or open_segment()).render("application/openmetrics-text")
        yield from text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]  # untyped there


class _Rest:
    """What a registry has beyond the names that are shown already."""

    def __init__(self, registry: Any, shown: set[str], names: Collection[str]) -> None:
        self._registry = registry
        self._shown = shown
        self._names = names

    def collect(self) -> "Iterator[Metric]":
        for metric in self._registry.collect():
            names = {metric.name, *(sample.name for sample in metric.samples)}
            if {name.removesuffix("_total") for name in names} & self._shown:
                continue
            if self._names:
                metric = copy.copy(metric)
                metric.samples = [sample for sample in metric.samples if sample.name in self._names]
                if not metric.samples:
                    continue
            yield metric


def render_registry(registry: Any, body: bytes, is_open_metrics: bool, names: Collection[str]) -> bytes:
    """Return the metrics of a registry as text, without those whose names `body` has. `names` as for `render()`.

    Raises ImportError without prometheus_client.
    """
    _require()
    from prometheus_client.exposition import generate_latest
    from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

    lines = (line.split(b" ", 3) for line in body.splitlines() if line.startswith(b"# TYPE "))
    rest: Any = _Rest(registry, {line[2].decode().removesuffix("_total") for line in lines}, names)
    if is_open_metrics:
        text: bytes = generate_open_metrics(rest)  # type: ignore[no-untyped-call]  # untyped there
        return text.removesuffix(b"# EOF\n")
    return generate_latest(rest)


def _require() -> None:
    try:
        import prometheus_client  # noqa: F401 - whether it is there
    except ImportError as error:
        raise ImportError(_MISSING) from error
