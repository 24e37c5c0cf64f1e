"""The metrics of the service as text: those of the segment, of its processes, and of a registry that is included."""

from collections.abc import Collection
from typing import Any

from reqtrail._native import Segment
from reqtrail.metrics import _processes
from reqtrail.metrics._bridge import render_registry
from reqtrail.metrics._segment import open_segment

_END = b"# EOF\n"


def render(
    accept: str = "", *, segment: Segment | None = None, names: Collection[str] = (), include: Any = None
) -> tuple[bytes, str]:
    """Return all metrics of the service as (body, content type), in the format that an HTTP Accept header asks for.

    That is OpenMetrics 1.0, with exemplars, where `accept` names it, else Prometheus text 0.0.4. With `names`, only the
    samples that are called so (`name[]` in a URL). `include` is a registry of prometheus_client, whose metrics follow;
    where both have a name, the segment's is shown. The service's processes (`process_*`) are shown with the process's
    own segment, not with one that is given. Raises what `open_segment()` raises, and ImportError for `include` without
    prometheus_client.
    """
    shown = segment or open_segment()
    processes = _processes.entered() if segment is None else None
    body, content_type = shown.render(accept, list(names), processes)
    if include is not None:
        is_open_metrics = body.endswith(_END)
        body = body.removesuffix(_END)
        body += render_registry(include, body, is_open_metrics, names) + (_END if is_open_metrics else b"")
    return body, content_type


def enable_created_metrics() -> None:
    """Show with this process's scrapes when each counter, histogram and summary began, as `_created`.

    That doubles or triples the series of those without buckets. For another segment than the process's own set its
    `show_created`. Raises what `open_segment()` raises.
    """
    open_segment().show_created = True


def disable_created_metrics() -> None:
    """Do not, which is the default. Raises what `open_segment()` raises."""
    open_segment().show_created = False


def generate_latest(segment: Segment | None = None) -> bytes:
    """Return all metrics in Prometheus text 0.0.4, as the function of prometheus_client does. Raises as `render()`."""
    return render(segment=segment)[0]
