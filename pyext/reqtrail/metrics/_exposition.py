"""The metrics of the service as text: those of the segment, of its processes, and of a registry that is included."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from reqtrail._native import Segment
from reqtrail.metrics import _processes
from reqtrail.metrics._bridge import render_registry
from reqtrail.metrics._segment import open_segment

_END = b"# EOF\n"
_FAMILY = re.compile(rb"^# HELP ", re.MULTILINE)
_SAMPLE_NAME = re.compile(rb"[^{ ]+")


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
    body, content_type = shown.render(accept)
    is_open_metrics = body.endswith(_END)
    body = body.removesuffix(_END)
    if segment is None:
        body = _processes.show(body, is_open_metrics)
    if include is not None:
        body += render_registry(include, body, is_open_metrics)
    if names:
        body = b"".join(_only(body, {name.encode() for name in names}))
    return (body + _END if is_open_metrics else body), content_type


def generate_latest(segment: Segment | None = None) -> bytes:
    """Return all metrics in Prometheus text 0.0.4, as the function of prometheus_client does. Raises as `render()`."""
    return render(segment=segment)[0]


def families(body: bytes) -> Iterator[bytes]:
    """Yield the text of each family of a body without its end mark, HELP line included."""
    starts = [match.start() for match in _FAMILY.finditer(body)]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        yield body[start:end]


def _only(body: bytes, names: set[bytes]) -> Iterator[bytes]:
    for family in families(body):
        lines = family.splitlines(keepends=True)
        samples = [line for line in lines if not line.startswith(b"#") and _name_of(line) in names]
        if samples:
            yield b"".join(line for line in lines if line.startswith(b"#")) + b"".join(samples)


def _name_of(line: bytes) -> bytes:
    match = _SAMPLE_NAME.match(line)
    return match.group() if match else b""
