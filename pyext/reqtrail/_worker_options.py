"""What an application wants of its workers."""

import os
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

_LAST_PORT = 65535


class WorkerOptions(NamedTuple):
    """See `reqtrail.celery.install`."""

    metrics_port: int | None = None
    metrics_addr: str = "127.0.0.1"
    queue_depth_interval: float | None = 15.0


_options: "WeakKeyDictionary[Any, WorkerOptions]" = WeakKeyDictionary()


def set_options(
    app: Any, metrics_port: int | None, metrics_addr: str | None, queue_depth_interval: float | None
) -> None:
    """Keep what `install` was given, and what the environment says where it was given nothing.

    Raises ValueError for a port or an interval that is none.
    """
    port = _port_of("metrics_port", metrics_port) if metrics_port is not None else _port_of_environment()
    if queue_depth_interval is not None and not queue_depth_interval > 0:
        raise ValueError(f"queue_depth_interval is a number of seconds above 0, or None, not {queue_depth_interval!r}")
    addr = metrics_addr or os.environ.get("REQTRAIL_METRICS_ADDR") or WorkerOptions().metrics_addr
    _options[app] = WorkerOptions(port, addr, queue_depth_interval)


def options_of(app: Any) -> WorkerOptions:
    """Return what was set for this application, or the defaults."""
    return _options.get(app, WorkerOptions())


def _port_of_environment() -> int | None:
    name = "REQTRAIL_METRICS_PORT"
    text = os.environ.get(name, "")
    return _port_of(name, text) if text else None


def _port_of(name: str, value: object) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = 0
    if not 0 < port <= _LAST_PORT:
        raise ValueError(f"{name} is a port, 1 to {_LAST_PORT}, not {value!r}")
    return port
