"""Which of a set of states something is in."""

from collections.abc import Iterable, Sequence
from typing import Any

from reqtrail import _native
from reqtrail._native import Segment
from reqtrail.metrics._definition import full_name, label_names, refuse_registry, require_labels
from reqtrail.metrics._segment import attach, open_segment


class Enum:
    """One of several states, the same for all processes of the service: who sets it last, wins.

    In the segment it is a gauge for each state, of which one is 1. OpenMetrics shows it with the type gauge.
    """

    __slots__ = ("_children", "_gauge", "_is_bound", "_labelnames", "_labelvalues", "_name", "_states")

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        _labelvalues: None = None,
        states: Sequence[str] | None = None,
        *,
        segment: Segment | None = None,
    ) -> None:
        """Name an enum and its `states`, of which the first one is the default. The rest is as for `Gauge`.

        Raises ValueError without states, and for a label with the name of the metric.
        """
        refuse_registry(registry)
        self._labelnames = label_names(labelnames)
        self._name = full_name(name, namespace, subsystem, unit)
        if name in self._labelnames or self._name in self._labelnames:
            raise ValueError(f"Overlapping labels for Enum metric: {name}")
        if not states:
            raise ValueError(f"No states provided for Enum metric: {name}")
        self._states = tuple(states)
        self._labelvalues: tuple[str, ...] | None = None
        self._children: dict[tuple[str, ...], Enum] = {}
        self._is_bound = False
        self._gauge = _native.Gauge(self._name, documentation, (*self._labelnames, self._name), (), "shared")
        attach(self, segment)

    def _bind(self, segment: Segment) -> None:
        self._gauge._bind(segment)
        self._is_bound = True
        if not self._labelnames:
            self._begin()

    def _cells(self) -> list[Any]:
        return [self._gauge.labels(*(self._labelvalues or ()), state) for state in self._states]

    def _begin(self) -> None:
        """Set the default, unless another process has set a state before."""
        cells = self._cells()
        if not any(cell._own_value() for cell in cells):
            self._set(cells, 0)

    @staticmethod
    def _set(cells: list[Any], index: int) -> None:
        for at, cell in enumerate(cells):
            cell.set(float(at == index))

    def labels(self, *labelvalues: object, **labelkwargs: object) -> "Enum":
        """Return the child with these label values. Raises ValueError as `labels()` of any metric."""
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if self._labelvalues is not None:
            raise ValueError(f"{self} already has labels set ({self._labelvalues}); can not chain calls to .labels()")
        if labelvalues and labelkwargs:
            raise ValueError("Can't pass both *args and **kwargs")
        if labelkwargs:
            if sorted(labelkwargs) != sorted(self._labelnames):
                raise ValueError("Incorrect label names")
            labelvalues = tuple(labelkwargs[name] for name in self._labelnames)
        if len(labelvalues) != len(self._labelnames):
            raise ValueError("Incorrect label count")
        key = tuple(str(value) for value in labelvalues)
        child = self._children.get(key)
        if child is None:
            self._require_segment()
            child = object.__new__(Enum)
            child._labelnames, child._name, child._states = self._labelnames, self._name, self._states
            child._labelvalues, child._children, child._gauge = key, {}, self._gauge
            child._is_bound = True
            child._begin()
            child = self._children.setdefault(key, child)
        return child

    def _require_segment(self) -> None:
        if not self._is_bound:
            open_segment()

    def state(self, state: str) -> None:
        """Set the state. Raises ValueError for one that is not among the states, and without the labels set."""
        require_labels(self, "stateset")
        index = self._states.index(state)
        self._require_segment()
        self._set(self._cells(), index)

    def __str__(self) -> str:
        return f"stateset:{self._name}"

    def __repr__(self) -> str:
        return f"reqtrail.metrics.Enum({self._name})"
