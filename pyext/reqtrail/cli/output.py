"""Standard output: a terminal, a pipe, or a pipe whose reader has gone."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from reqtrail.cli.wording import printable

PIPED_WIDTH = 120
"""Columns where nobody can say how wide the reader is."""


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Why a file takes no more."""


class ReaderGoneError(Exception):
    """Whoever read standard output has seen enough, as `head` does."""


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as ever, but for what came from a log, and is meant to steer the terminal of whoever reads it."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text, cell_len), style, control)

    def on_broken_pipe(self) -> NoReturn:
        raise ReaderGoneError


def drop_output() -> None:
    """Send what is still buffered nowhere, when the interpreter flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """A terminal with its colours and width; anything else plain and wide. It raises ReaderGoneError."""
    made = _Console(highlight=False)
    return made if made.is_terminal else _Console(highlight=False, width=PIPED_WIDTH)


def print_plain(text: str) -> None:
    """Print text for programs, as it is. Raises ReaderGoneError."""
    try:
        print(text, flush=True)
    except BrokenPipeError as error:
        raise ReaderGoneError from error
