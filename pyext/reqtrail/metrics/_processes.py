"""This process as one of those that the service's process_* series are the sum of."""

import os
import platform

from reqtrail._native import Segment, ServiceProcesses

_entered: ServiceProcesses | None = None


def enter(segment: Segment) -> None:
    """Make this process, and what it forks, one of the service's."""
    global _entered
    major, minor, patch = platform.python_version_tuple()
    labels = [
        ("implementation", platform.python_implementation()),
        ("major", major),
        ("minor", minor),
        ("patchlevel", patch),
        ("version", platform.python_version()),
    ]
    _entered = ServiceProcesses(segment, "python_info", labels)


def entered() -> ServiceProcesses | None:
    """Return what shows the processes of the service; None if this process has not entered one."""
    return _entered


def _enter_child() -> None:
    if _entered is not None:
        _entered.enter_child()


os.register_at_fork(after_in_child=_enter_child)
