"""Which log records are made, noted without taking part."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def records_made() -> Iterator[list[str]]:
    """Note the name of the logger of each record that is made in this thread."""
    made: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is logging.LogRecord.__init__.__code__:
            made.append(frame.f_locals["name"])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(before)
