"""Taking series away: `remove()`, `remove_by_labels()` and `clear()` of all metric types."""

from typing import Protocol


class _Labelled(Protocol):
    @property
    def _labelnames(self) -> tuple[str, ...]: ...
    def _remove(self, label_values: tuple[str | None, ...], /) -> int: ...


class Removable:
    """A family whose series can be removed, for all processes of the service.

    A child of a removed series that somebody still holds, in whichever process, makes the series anew when it is used
    next, from 0. What another thread or process counts at the very moment of the removal may go with it.
    """

    __slots__ = ()

    def remove(self: _Labelled, *labelvalues: object) -> None:
        """Remove the series with these label values, if there is one.

        Raises ValueError for a metric without labels and for a wrong number of them, OSError if another process keeps
        the segment's registration lock.
        """
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if len(labelvalues) != len(self._labelnames):
            raise ValueError(f"Incorrect label count (expected {len(self._labelnames)}, got {labelvalues})")
        self._remove(tuple(str(value) for value in labelvalues))

    def remove_by_labels(self: _Labelled, labels: dict[str, str]) -> None:
        """Remove all series that have these labels, whatever their other ones are; none for an empty dict.

        Raises TypeError for what is no dict, ValueError for names that are not the metric's, and as `remove()`.
        """
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if not isinstance(labels, dict):
            raise TypeError("labels must be a dict of {label_name: label_value}")
        invalid = [name for name in labels if name not in self._labelnames]
        if invalid:
            raise ValueError(f"Unknown label names: {invalid}; expected {self._labelnames}")
        if labels:
            self._remove(tuple(str(labels[name]) if name in labels else None for name in self._labelnames))

    def clear(self: _Labelled) -> None:
        """Remove all series, that of `__overflow__` too. A metric without labels stays as it is."""
        if self._labelnames:
            self._remove(())
