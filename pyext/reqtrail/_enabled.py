"""The one switch: REQTRAIL_ENABLED."""

import os

_OFF = frozenset({"0", "false", "no", "off"})
_ON = frozenset({"", "1", "true", "yes", "on"})


def enabled() -> bool:
    """Return False when the environment says REQTRAIL_ENABLED=false (or 0, no, off); every install is a no-op then.

    Raises ValueError when it says something else than that or true, 1, yes, on.
    """
    said = os.environ.get("REQTRAIL_ENABLED", "").strip().lower()
    if said not in _OFF | _ON:
        raise ValueError(f"REQTRAIL_ENABLED must be true or false (or 1, 0, yes, no, on, off), not {said!r}")
    return said not in _OFF
