"""Standard output: a terminal, a pipe, or a pipe whose reader has gone."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

PIPED_WIDTH = 120
"""Columns where nobody can say how wide the reader is."""


class ReaderGoneError(Exception):
    """Whoever read standard output has seen enough, as `head` does."""


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise ReaderGoneError


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
