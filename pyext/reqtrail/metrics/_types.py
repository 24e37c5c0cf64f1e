"""The metric types that have a native half: what counts and looks labels up is C++, what is called once is here."""

import time
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import NoReturn

from reqtrail import _native
from reqtrail._native import LATENCY_BUCKETS, Segment
from reqtrail.metrics._blocks import ExceptionCounter, ExceptionTypes, InprogressTracker, Timer
from reqtrail.metrics._definition import full_name, label_names, refuse_registry, require_labels
from reqtrail.metrics._removal import Removable
from reqtrail.metrics._segment import attach


class Counter(Removable, _native.Counter):
    """A count that only goes up, shared by all processes of the service."""

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        *,
        segment: Segment | None = None,
    ) -> "Counter":
        """Name a counter: namespace, subsystem, name and unit, joined by "_"; `_total` is added when it is shown.

        `labelnames` are the names for `labels()`. `segment` is where it counts (default: `open_segment()`, called at
        the first use). Making the same counter again gives the same values. Raises ValueError for names that Prometheus
        does not allow, and, as soon as there is a segment, for a name that exists with another type or other labels;
        TypeError for a registry: there is none.
        """
        refuse_registry(registry)
        name = full_name(name, namespace, subsystem, unit, suffix="_total")
        self = super().__new__(cls, name, documentation, label_names(labelnames), ())
        attach(self, segment)
        return self

    def count_exceptions(self, exception: ExceptionTypes = Exception) -> ExceptionCounter:
        """Return a decorator and context manager that counts exceptions of this type, or of one of these types.

        Raises ValueError for a family without its labels.
        """
        require_labels(self, "counter")
        return ExceptionCounter(self, exception)

    def __repr__(self) -> str:
        return f"reqtrail.metrics.Counter({self._name})"


class Gauge(Removable, _native.Gauge):
    """A number that goes up and down. Each process has its own; `multiprocess_mode` says what they make together."""

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        _labelvalues: None = None,
        multiprocess_mode: str = "livesum",
        *,
        segment: Segment | None = None,
    ) -> "Gauge":
        """Name a gauge: namespace, subsystem, name and unit, joined by "_".

        `multiprocess_mode` is one of prometheus_client's: all, sum, min, max, mostrecent, each also with "live" before
        it, which leaves ended processes out; or "shared", one value for all processes. ValueError for another one. The
        rest is as for `Counter`.
        """
        refuse_registry(registry)
        name = full_name(name, namespace, subsystem, unit)
        self = super().__new__(cls, name, documentation, label_names(labelnames), (), multiprocess_mode)
        attach(self, segment)
        return self

    def set_to_current_time(self) -> None:
        """Set it to the time: seconds since the epoch."""
        self.set(time.time())

    def track_inprogress(self) -> InprogressTracker:
        """Return a decorator and context manager that holds the gauge one higher while the block runs.

        Raises ValueError for a family without its labels.
        """
        require_labels(self, "gauge")
        return InprogressTracker(self)

    def time(self) -> Timer:
        """Return a decorator and context manager that sets the gauge to the seconds that the block took."""
        return Timer(self, "set")

    def set_function(self, f: Callable[[], float]) -> NoReturn:
        """Raise NotImplementedError: a function of this process cannot be called by the one that is scraped."""
        raise NotImplementedError(
            f"{self}: set_function() is not supported, because the process that is scraped cannot call a function of"
            " another one. Call set() where the value changes, or use prometheus_client's Gauge and asgi_app(include=)"
        )

    def __repr__(self) -> str:
        return f"reqtrail.metrics.Gauge({self._name})"


class Histogram(Removable, _native.Histogram):
    """A distribution of values in buckets, shared by all processes of the service."""

    __slots__ = ()
    DEFAULT_BUCKETS = (*LATENCY_BUCKETS, inf)

    def __new__(
        cls,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        _labelvalues: None = None,
        buckets: Sequence[float | str] = LATENCY_BUCKETS,
        *,
        segment: Segment | None = None,
    ) -> "Histogram":
        """Name a histogram: namespace, subsystem, name and unit, joined by "_".

        `buckets` are the upper bounds, ascending, in the unit of what is observed; +Inf is added if it is missing. The
        default is made for latencies in seconds: 0.005 to 10. The rest is as for `Counter`; ValueError also for bounds
        that are not sorted, or none.
        """
        refuse_registry(registry)
        bounds = [float(bound) for bound in buckets]
        if bounds and bounds[-1] == inf:
            bounds.pop()
        name = full_name(name, namespace, subsystem, unit)
        self = super().__new__(cls, name, documentation, label_names(labelnames), tuple(bounds))
        attach(self, segment)
        return self

    def time(self) -> Timer:
        """Return a decorator and context manager that observes the seconds that the block took."""
        return Timer(self, "observe")

    def __repr__(self) -> str:
        return f"reqtrail.metrics.Histogram({self._name})"


class Summary(Removable, _native.Summary):
    """How many values there were, and their sum, over all processes of the service. Quantiles it does not have."""

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: None = None,
        *,
        segment: Segment | None = None,
    ) -> "Summary":
        """Name a summary: namespace, subsystem, name and unit, joined by "_". The rest is as for `Counter`."""
        refuse_registry(registry)
        name = full_name(name, namespace, subsystem, unit)
        self = super().__new__(cls, name, documentation, label_names(labelnames), ())
        attach(self, segment)
        return self

    def time(self) -> Timer:
        """Return a decorator and context manager that observes the seconds that the block took."""
        return Timer(self, "observe")

    def __repr__(self) -> str:
        return f"reqtrail.metrics.Summary({self._name})"
