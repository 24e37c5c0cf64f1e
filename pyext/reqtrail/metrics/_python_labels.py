"""Labels of the metric types that have no native children: `Enum` and `Info`."""

from typing import TYPE_CHECKING, Any

from reqtrail._native import Segment
from reqtrail.metrics._removal import Removable
from reqtrail.metrics._segment import open_segment

if TYPE_CHECKING:
    from typing_extensions import Self  # for type checkers only: the package needs no other at run time


class PythonLabels(Removable):
    """A metric, a family of children, or a child, over one native family."""

    __slots__ = ("_children", "_is_bound", "_labelnames", "_labelvalues", "_name", "_native")

    _type_name = ""

    def __init__(self, name: str, labelnames: tuple[str, ...], native: Any) -> None:
        """Keep what all children share."""
        self._name = name
        self._labelnames = labelnames
        self._labelvalues: tuple[str, ...] | None = None
        self._children: dict[tuple[str, ...], Self] = {}
        self._is_bound = False
        self._native = native

    def _begin(self) -> None:
        """Show the series with its first value."""

    def _copy_to(self, child: "Self") -> None:
        """Give a new child what is the type's own."""

    def _bind(self, segment: Segment) -> None:
        self._native._bind(segment)
        self._is_bound = True
        if not self._labelnames:
            self._begin()

    def _require_segment(self) -> None:
        if not self._is_bound:
            open_segment()

    def _remove(self, label_values: tuple[str | None, ...]) -> int:
        self._require_segment()
        self._children.clear()
        removed: int = self._native._remove(label_values)
        return removed

    def labels(self, *labelvalues: object, **labelkwargs: object) -> "Self":
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
            child = object.__new__(type(self))
            PythonLabels.__init__(child, self._name, self._labelnames, self._native)
            self._copy_to(child)
            child._labelvalues = key
            child._is_bound = True
            child._begin()
            child = self._children.setdefault(key, child)
        return child

    def __str__(self) -> str:
        return f"{self._type_name}:{self._name}"

    def __repr__(self) -> str:
        return f"reqtrail.metrics.{type(self).__name__}({self._name})"
