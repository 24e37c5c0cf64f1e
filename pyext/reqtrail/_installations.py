"""The installations of this process, and what the loggers of ASGI servers leave out while there is one."""

from collections.abc import Callable
from weakref import WeakSet

from reqtrail._request_log import allow_duplicates_of_servers, drop_duplicates_of_servers

_there: WeakSet[object] = WeakSet()
_watchers: list[Callable[[], None]] = []


def enter(installation: object) -> None:
    """Take note that there is one more. Of one that is forgotten without `leave`, the next change takes note."""
    _there.add(installation)
    _changed()


def leave(installation: object) -> None:
    """Take note that it is there no longer."""
    _there.discard(installation)
    _changed()


def is_any_there() -> bool:
    """Return whether there is one."""
    return len(_there) > 0


def on_change(watcher: Callable[[], None]) -> None:
    """Call `watcher` from now on whenever an installation has come or gone."""
    _watchers.append(watcher)


def _changed() -> None:
    if is_any_there():
        drop_duplicates_of_servers()
    else:
        allow_duplicates_of_servers()
    for watcher in _watchers:
        watcher()
