"""Durations, numbers of things and long texts as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_SECOND_MS = 1000.0
_HOUR_MS = 3600 * _SECOND_MS


def duration_text(ms: float) -> str:
    """Return a duration in the unit that fits: `0.25 ms`, `12.3 ms`, `1.23 s`, `2 min 3 s`, `3 h 5 min`."""
    if ms < 9.995:
        return f"{ms:.2f} ms"
    if ms < 99.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_995:
        return f"{ms / _SECOND_MS:.2f} s"
    seconds = round(ms / _SECOND_MS)
    if seconds * _SECOND_MS < _HOUR_MS:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    minutes = seconds % 3600 // 60
    return f"{seconds // 3600} h" + (f" {minutes} min" if minutes else "")


def counted(number: float, thing: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{number:g} {thing}{'' if number == 1 else 's'}"


def printable(text: str, width: Callable[[str], int] = len) -> str:
    """Return the text with U+FFFD for each character that a terminal or a browser would obey, or cannot show.

    It stands there as often as the character is wide.
    """
    if text.isprintable():
        return text
    return "".join("\ufffd" * width(letter) if _obeyed(letter) else letter for letter in text)


def _obeyed(letter: str) -> bool:
    return letter not in "\t\n" and unicodedata.category(letter).startswith("C")


def shortened(text: str, limit: int = 120) -> str:
    """Return the text in one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
