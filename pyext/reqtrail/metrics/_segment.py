"""The segment of this process, and the metrics that wait for it."""

import os
from pathlib import Path
from typing import Protocol

from reqtrail._native import Segment
from reqtrail.metrics import _processes


class Bindable(Protocol):
    """What is registered in a segment."""

    def _bind(self, segment: Segment, /) -> None: ...


_default: Segment | None = None
_default_service = ""
# Metrics made before the segment was opened. They are bound when it is, so that a scrape shows them at 0.
_pending: list[Bindable] = []


def open_segment(service: str | None = None, directory: str | os.PathLike[str] | None = None) -> Segment:
    """Return the segment of this process, which is opened by the first call; a call without arguments just returns it.

    service: names the segment: processes that give the same service and directory share their metrics (default: the
    environment's REQTRAIL_SERVICE, else "reqtrail").
    directory: where its file lives (default: REQTRAIL_METRICS_DIR of the environment, else a private one in shared
    memory).

    Children made by fork share their parent's segment.

    Raises ValueError for a service that is not 1 to 100 of A-Z, a-z, 0-9, ".", "_" and "-", or for a metric made before
    whose name other processes use for another kind; RuntimeError when the segment is open under another service or
    directory; OSError when the file cannot be made or is not safe to use; TypeError for an argument of the wrong type.
    """
    global _default, _default_service
    if service is not None and not isinstance(service, str):
        raise TypeError(f'service must be a str, such as "shop", or None, not {type(service).__name__}')
    if directory is not None and not isinstance(directory, str | os.PathLike):
        raise TypeError(f"the metrics' directory must be a str, an os.PathLike or None, not {type(directory).__name__}")
    if _default is None:
        chosen = service or os.environ.get("REQTRAIL_SERVICE") or "reqtrail"
        opened = Segment(chosen, os.fspath(directory) if directory else "")
        if _default is None:  # another thread may have been first
            _default, _default_service = opened, chosen
            _processes.enter(opened)
    elif (service and service != _default_service) or (
        directory and Path(directory).resolve() != Path(_default.path).resolve().parent
    ):
        raise RuntimeError(f"the metrics segment is already open, as {_default.path}: open it before the first metric")
    while _pending:
        _pending.pop()._bind(_default)
    return _default


def attach(metric: Bindable, segment: Segment | None) -> None:
    """Bind a new metric to `segment`, else to the process's own as soon as there is one."""
    if segment is None:
        segment = _default
    if segment is None:
        _pending.append(metric)
    else:
        metric._bind(segment)
