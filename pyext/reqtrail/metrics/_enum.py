"""Which of a set of states something is in."""

from collections.abc import Iterable, Sequence
from typing import Any

from reqtrail import _native
from reqtrail._native import Segment
from reqtrail.metrics._definition import full_name, label_names, refuse_registry, require_labels
from reqtrail.metrics._python_labels import PythonLabels
from reqtrail.metrics._segment import attach


class Enum(PythonLabels):
    """One of several states, the same for all processes of the service: who sets it last, wins."""

    __slots__ = ("_states",)

    _type_name = "stateset"

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
        names = label_names(labelnames)
        full = full_name(name, namespace, subsystem, unit)
        if name in names or full in names:
            raise ValueError(f"Overlapping labels for Enum metric: {name}")
        if not states:
            raise ValueError(f"No states provided for Enum metric: {name}")
        self._states = tuple(states)
        super().__init__(full, names, _native.StateSet(full, documentation, (*names, full), (), "shared"))
        attach(self, segment)

    def _copy_to(self, child: "Enum") -> None:
        child._states = self._states

    def _cells(self) -> list[Any]:
        return [self._native.labels(*(self._labelvalues or ()), state) for state in self._states]

    def _begin(self) -> None:
        """Set the default, unless another process has set a state before."""
        cells = self._cells()
        if not any(cell._own_value() for cell in cells):
            self._set(cells, 0)

    @staticmethod
    def _set(cells: list[Any], index: int) -> None:
        for at, cell in enumerate(cells):
            cell.set(float(at == index))

    def state(self, state: str) -> None:
        """Set the state. Raises ValueError for one that is not among the states, and without the labels set."""
        require_labels(self, self._type_name)
        index = self._states.index(state)
        self._require_segment()
        self._set(self._cells(), index)
