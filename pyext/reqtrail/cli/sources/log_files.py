"""Log files, named by path or glob, and standard input."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from reqtrail.cli.sources import Found, SourceError
from reqtrail.cli.sources.log_lines import LineReader, holder_pids, name_holders, tagged_records
from reqtrail.cli.timeline import Event
from reqtrail.cli.wording import counted

STDIN = "-"
_LAST_BYTES = 16 << 20
_LONGEST_LINE = 16 << 20
"""Bytes; what is longer, as a file that is no log may be, is read in pieces."""
_MAGIC = re.compile(r"[*?\[]")
_UNREADABLE = (OSError, EOFError, zlib.error)


class LogFilesSource:
    """Files with JSON lines, or with a PostgreSQL log in any format; *.gz is unpacked."""

    kind = "logs"

    def __init__(self, patterns: Sequence[str]) -> None:
        """Make one. `patterns` are paths, globs (with `**`) or "-" for standard input."""
        self._patterns = patterns
        self.name = ", ".join(patterns)

    def collect(self, request_id: str) -> Found:
        """Read all files. Raises SourceError when none can be read."""
        events: list[Event] = []
        read = []
        paths, unreadable = self._paths()
        for path in paths:
            try:
                events += _read(path, request_id)
                read.append(path)
            except _UNREADABLE as error:
                unreadable.append(_reason(path, error))
        if not read:
            raise SourceError("; ".join(unreadable) or f"no file matches {self.name}")
        pids = holder_pids(events)
        if pids:
            files = [path for path in read if path != STDIN]
            try:
                events = name_holders(events, [found for path in files for found in tagged_records(_lines(path), pids)])
            except _UNREADABLE as error:  # it has gone since it was read
                unreadable.append(f"the holder of the lock is not known: {error}")
        note = f"{counted(len(events), 'record')} in {counted(len(read), 'file')}"
        return Found(events, note="; ".join([note, *(f"not read: {reason}" for reason in unreadable)]))

    def last_lines(self) -> Iterator[tuple[str, str]]:
        """The lines in the last 16 MiB of each file, each with the file's path.

        Raises SourceError when a file cannot be read, or there is none.
        """
        paths, unreadable = self._paths()
        if unreadable or not paths:
            raise SourceError("; ".join(unreadable) or f"no file matches {self.name}")
        for path in paths:
            try:
                yield from ((path, line) for line in _lines(path, from_end=_LAST_BYTES))
            except _UNREADABLE as error:
                raise SourceError(_reason(path, error)) from error

    def _paths(self) -> tuple[list[str], list[str]]:
        """Each file once, and why a pattern names none."""
        paths: dict[str, None] = {}
        unreadable = []
        for pattern in self._patterns:
            try:
                paths.update(dict.fromkeys(_named_by(pattern)))
            except OSError as error:
                unreadable.append(_reason(error.filename or pattern, error))
            except ValueError as error:  # pathlib's, of a pattern such as `**.log`
                unreadable.append(_reason(pattern, error))
        return list(paths), unreadable


def _reason(path: str, error: Exception) -> str:
    return f"{path}: {getattr(error, 'strerror', None) or error}"


def _named_by(pattern: str) -> list[str]:
    """The files that a pattern names. Raises OSError where its folder cannot be listed, ValueError if it is no glob."""
    path = os.path.expanduser(pattern)  # noqa: PTH111 - it leaves ~nobody as it is; pathlib raises
    # A path that is there is meant as it is, whatever it has of *, ? and [.
    if pattern == STDIN or not _MAGIC.search(pattern) or os.path.lexists(path):
        return [path]
    root = Path(Path(path).anchor)
    found = sorted(str(one) for one in root.glob(str(Path(path).relative_to(root))))
    if not found:
        # A glob passes over what it may not list, as if there were nothing in it.
        os.scandir(os.path.dirname(_MAGIC.split(path)[0]) or ".").close()  # noqa: PTH120 - a part of a path
    return [one for one in found if not os.path.isdir(one)]  # noqa: PTH112 - pathlib raises where it may not look


def _read(path: str, request_id: str) -> list[Event]:
    reader = LineReader(request_id, "standard input" if path == STDIN else Path(path).name)
    for line in _lines(path):
        reader.feed(line)
    reader.finish()
    return reader.events


def _lines(path: str, *, from_end: int | None = None) -> Iterator[str]:
    with _open(path) as file:
        if from_end is not None and isinstance(file, io.BufferedReader) and _is_longer(path, from_end):
            file.seek(-from_end, os.SEEK_END)
            file.readline(_LONGEST_LINE)  # the end of a line that began before
        for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
            yield line.decode(errors="replace").rstrip("\r\n")


def _open(path: str) -> BinaryIO | gzip.GzipFile:
    if path == STDIN:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        # Not its own buffer, which the interpreter wants back when the command is interrupted while it reads.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")


def _is_longer(path: str, size: int) -> bool:
    return path != STDIN and Path(path).stat().st_size > size
