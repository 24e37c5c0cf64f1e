"""The installations of this process."""

from collections.abc import Callable
from weakref import WeakSet

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
    for watcher in _watchers:
        watcher()
