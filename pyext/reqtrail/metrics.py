"""Prometheus metrics that are right across processes, with the request id as their exemplar.

`Counter` and `Histogram` are used as those of prometheus_client. Their values live in a segment that all processes of a
service on this host share: a scrape of any one process shows them all. See docs/metrics.md.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from reqtrail import _native
from reqtrail._native import LATENCY_BUCKETS, Segment

__all__ = ["LATENCY_BUCKETS", "Counter", "Histogram", "Segment", "asgi_app", "open_segment", "render"]

_INFINITY = float("inf")

_default: Segment | None = None
_default_service = ""
# Metrics made before the segment was opened. They are bound when it is, so that a scrape shows them at 0.
_pending: list["Counter | Histogram"] = []


def open_segment(service: str | None = None, directory: str | os.PathLike[str] | None = None) -> Segment:
    """Return the segment of this process, which is opened by the first call; a call without arguments just returns it.

    `service` names the segment: processes that give the same service and directory share their metrics (default: the
    environment's REQTRAIL_SERVICE, else "reqtrail"). `directory` is where its file lives (default: REQTRAIL_METRICS_DIR
    of the environment, else a private one in shared memory). Children made by fork share their parent's segment.

    Raises ValueError for a service that is not 1 to 100 of A-Z, a-z, 0-9, ".", "_" and "-", or for a metric made before
    whose name other processes use for another kind; RuntimeError when the segment is open under another service or
    directory; OSError when the file cannot be made or is not safe to use.
    """
    global _default, _default_service
    if _default is None:
        chosen = service or os.environ.get("REQTRAIL_SERVICE") or "reqtrail"
        opened = Segment(chosen, os.fspath(directory) if directory else "")
        if _default is None:  # another thread may have been first
            _default, _default_service = opened, chosen
    elif (service and service != _default_service) or (
        directory and Path(directory).resolve() != Path(_default.path).resolve().parent
    ):
        raise RuntimeError(f"the metrics segment is already open, as {_default.path}: open it before the first metric")
    while _pending:
        _pending.pop()._bind(_default)
    return _default


class Counter(_native.Counter):
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
        *,
        segment: Segment | None = None,
    ) -> "Counter":
        """Name a counter: namespace, subsystem, name and unit, joined by "_"; `_total` is added when it is shown.

        `labelnames` are the names for `labels()`. `segment` is where it counts (default: `open_segment()`, called at
        the first use). Making the same counter again gives the same values. Raises ValueError for names that Prometheus
        does not allow, and, as soon as there is a segment, for a name that exists with another type or other labels.
        """
        full_name = _full_name(name, namespace, subsystem, unit, suffix="_total")
        self = super().__new__(cls, full_name, documentation, _label_names(labelnames), ())
        _attach(self, segment)
        return self


class Histogram(_native.Histogram):
    """A distribution of values in buckets, shared by all processes of the service."""

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        *,
        buckets: Sequence[float | str] = LATENCY_BUCKETS,
        segment: Segment | None = None,
    ) -> "Histogram":
        """Name a histogram: namespace, subsystem, name and unit, joined by "_".

        `buckets` are the upper bounds, ascending, in the unit of what is observed; +Inf is added if it is missing. The
        default is made for latencies in seconds: 0.005 to 10. The rest is as for `Counter`; ValueError also for bounds
        that are not sorted, or none.
        """
        bounds = [float(bound) for bound in buckets]
        if bounds and bounds[-1] == _INFINITY:
            bounds.pop()
        full_name = _full_name(name, namespace, subsystem, unit)
        self = super().__new__(cls, full_name, documentation, _label_names(labelnames), tuple(bounds))
        _attach(self, segment)
        return self


def _full_name(name: str, namespace: str, subsystem: str, unit: str, suffix: str = "") -> str:
    if not name:
        raise ValueError("Metric name should not be empty")
    full_name = "_".join(part for part in (namespace, subsystem, name) if part).removesuffix(suffix)
    return full_name if not unit or full_name.endswith(f"_{unit}") else f"{full_name}_{unit}"


def _label_names(labelnames: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labelnames, str):
        raise TypeError("labelnames must be a sequence of names, not one str")
    return tuple(labelnames)


def _attach(metric: "Counter | Histogram", segment: Segment | None) -> None:
    if segment is None:
        segment = _default
    if segment is None:
        _pending.append(metric)
    else:
        metric._bind(segment)


def render(accept: str = "", *, segment: Segment | None = None) -> tuple[bytes, str]:
    """Return all metrics of the service as (body, content type), in the format that an HTTP Accept header asks for.

    That is OpenMetrics 1.0, with exemplars, where `accept` names it, else Prometheus text 0.0.4. Raises what
    `open_segment()` raises.
    """
    return (segment or open_segment()).render(accept)


_Message = MutableMapping[str, Any]
_App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]


def asgi_app(*, segment: Segment | None = None) -> _App:
    """Return an ASGI application that answers GET and HEAD with `render()`, to be mounted at /metrics."""

    async def metrics(
        scope: MutableMapping[str, Any],
        _receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"metrics are served over http, not {scope['type']}")
        if scope["method"] not in ("GET", "HEAD"):
            await send({"type": "http.response.start", "status": 405, "headers": [(b"allow", b"GET, HEAD")]})
            await send({"type": "http.response.body", "body": b""})
            return
        accept = b",".join(value for name, value in scope["headers"] if name.lower() == b"accept")
        body, content_type = render(accept.decode("latin-1"), segment=segment)
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"vary", b"Accept"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return metrics
