"""What every metric is made from: its full name, its labels, and the registry that it does not take."""

from collections.abc import Iterable
from typing import Protocol


class _Labelled(Protocol):
    @property
    def _labelnames(self) -> tuple[str, ...]: ...
    @property
    def _labelvalues(self) -> tuple[str, ...] | None: ...


def full_name(name: str, namespace: str, subsystem: str, unit: str, suffix: str = "") -> str:
    """Return namespace, subsystem, name and unit joined by "_", without `suffix`. Raises ValueError without a name."""
    if not name:
        raise ValueError("Metric name should not be empty")
    joined = "_".join(part for part in (namespace, subsystem, name) if part)
    if suffix:
        joined = joined.removesuffix(suffix)
    return joined if not unit or joined.endswith(f"_{unit}") else f"{joined}_{unit}"


def label_names(labelnames: Iterable[str], reserved: str = "") -> tuple[str, ...]:
    """Return the label names. Raises TypeError for one str, ValueError for the one that the type keeps for itself."""
    if isinstance(labelnames, str):
        raise TypeError("labelnames must be a sequence of names, not one str")
    names = tuple(labelnames)
    if reserved and reserved in names:
        raise ValueError(f"Reserved label metric name: {reserved!r}")
    return names


def refuse_registry(registry: object) -> None:
    """Raise TypeError for a registry other than None: it would not show the metric, and nobody would notice."""
    if registry is not None:
        raise TypeError(
            "registry= is not taken: metrics of reqtrail live in the segment that all processes share. Leave it out; to"
            " see them in a registry of prometheus_client as well, register reqtrail.metrics.Collector() there once"
        )


def require_labels(metric: _Labelled, type_name: str) -> None:
    """Raise ValueError if `metric` is a family, which itself counts nothing."""
    if metric._labelnames and metric._labelvalues is None:
        raise ValueError(f"{type_name} metric is missing label values")
