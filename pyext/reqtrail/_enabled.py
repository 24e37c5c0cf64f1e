"""The one switch: REQTRAIL_ENABLED."""

import os

_OFF = frozenset({"0", "false", "no", "off"})


def enabled() -> bool:
    """Return False when the environment says REQTRAIL_ENABLED=false (or 0, no, off); every install is a no-op then."""
    return os.environ.get("REQTRAIL_ENABLED", "true").strip().lower() not in _OFF
