"""Records to log, and what came of them."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reqtrail.logging import dropped

GENEROUS = 60
"""Seconds that a test waits for something that takes far less."""


def record(
    message: object = "hello",
    *args: object,
    levelno: int = logging.INFO,
    error: BaseException | None = None,
    **extra: Any,
) -> logging.LogRecord:
    """What a call such as logger.info(message, *args, exc_info=error, extra=extra) makes."""
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    logger = logging.getLogger("shop.cart")
    return logger.makeRecord("shop.cart", levelno, "/src/cart.py", 42, message, args, exc_info, "add", extra)


def parsed(line: str) -> dict[str, Any]:
    """The object that a line is; it is one line, whatever was logged."""
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def messages(path: Path) -> list[str]:
    """The messages of all lines in a file."""
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


@contextmanager
def dropping(reason: str, lines: int | None = None) -> Iterator[None]:
    """Expects that so many lines, or any number, are dropped for this reason, and none for another one."""
    before = dropped()
    yield
    new = {name: count - before[name] for name, count in dropped().items() if count != before[name]}
    assert list(new) == [reason]
    assert lines is None or new[reason] == lines
