"""What is true of the service and is text: its version, its build."""

from collections.abc import Iterable, Mapping

from reqtrail import _native
from reqtrail._native import Segment
from reqtrail.metrics._definition import full_name, label_names, refuse_registry, require_labels
from reqtrail.metrics._python_labels import PythonLabels
from reqtrail.metrics._segment import attach


class Info(PythonLabels):
    """Names and values as the labels of a sample of 1, the same for all processes: who sets it last, wins."""

    __slots__ = ()

    _type_name = "info"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        *,
        segment: Segment | None = None,
    ) -> None:
        """Name an info; `_info` is added when it is shown, which it is as soon as it says something.

        The rest is as for `Counter`. Raises ValueError for a unit: an info has none.
        """
        refuse_registry(registry)
        if unit:
            raise ValueError(f"Metric name has a unit, but is an info metric: {name}")
        names = label_names(labelnames)
        full = full_name(name, namespace, subsystem, "")
        super().__init__(full, names, _native.Info(full, documentation, names, ()))
        attach(self, segment)

    def info(self, val: Mapping[str, str]) -> None:
        """Say these names and values, and no longer what was said before.

        Raises ValueError for a name that is a label of the metric, or no label name; for a value of None; and without
        the labels set; TypeError for a value that is no str. OSError when there is no room for it.
        """
        require_labels(self, self._type_name)
        if set(self._labelnames) & set(val):
            raise ValueError(f"Overlapping labels for Info metric, metric: {self._labelnames} child: {val}")
        if any(value is None for value in val.values()):
            raise ValueError("Label value cannot be None")
        self._require_segment()
        self._native._set_info(self._labelvalues or (), dict(val))
