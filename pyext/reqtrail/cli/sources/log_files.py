"""Log files, named by path or glob, and standard input."""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from reqtrail.cli.sources import Found, SourceError
from reqtrail.cli.sources.log_lines import LineReader, holder_pids, name_holders, tagged_records
from reqtrail.cli.timeline import Event
from reqtrail.cli.wording import counted

STDIN = "-"
_LAST_BYTES = 16 << 20
_MAGIC = re.compile(r"[*?\[]")


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
        unreadable: list[str] = []
        paths = list(self._paths())
        read = []
        for path in paths:
            try:
                events += _read(path, request_id)
                read.append(path)
            except (OSError, EOFError) as error:
                unreadable.append(_reason(path, error))
        if not read:
            raise SourceError("; ".join(unreadable) or f"no file matches {self.name}")
        pids = holder_pids(events)
        if pids:
            files = [path for path in read if path != STDIN]
            events = name_holders(events, (found for path in files for found in tagged_records(_lines(path), pids)))
        note = f"{counted(len(events), 'record')} in {counted(len(read), 'file')}"
        return Found(events, note="; ".join([note, *(f"not read: {reason}" for reason in unreadable)]))

    def last_lines(self) -> Iterator[tuple[str, str]]:
        """The lines in the last 16 MiB of each file, each with the file's path.

        Raises SourceError when a file cannot be read, or there is none.
        """
        paths = list(self._paths())
        if not paths:
            raise SourceError(f"no file matches {self.name}")
        for path in paths:
            try:
                yield from ((path, line) for line in _lines(path, from_end=_LAST_BYTES))
            except (OSError, EOFError) as error:
                raise SourceError(_reason(path, error)) from error

    def _paths(self) -> Iterator[str]:
        seen = set()
        for pattern in self._patterns:
            expanded = Path(pattern).expanduser()
            # A path that is there is meant as it is, whatever it has of *, ? and [.
            as_it_is = pattern == STDIN or expanded.exists() or not _MAGIC.search(pattern)
            names = [pattern if pattern == STDIN else str(expanded)]
            for path in names if as_it_is else _matching(expanded):
                if path not in seen and (path == STDIN or as_it_is or Path(path).is_file()):
                    seen.add(path)
                    yield path


def _reason(path: str, error: Exception) -> str:
    return f"{path}: {getattr(error, 'strerror', None) or error}"


def _matching(pattern: Path) -> list[str]:
    root = Path(pattern.anchor)
    return sorted(str(path) for path in root.glob(str(pattern.relative_to(pattern.anchor))))


def _read(path: str, request_id: str) -> list[Event]:
    reader = LineReader(request_id, "standard input" if path == STDIN else Path(path).name)
    for line in _lines(path):
        reader.feed(line)
    reader.finish()
    return reader.events


def _lines(path: str, *, from_end: int | None = None) -> Iterator[str]:
    if path == STDIN:
        yield from (line.decode(errors="replace").rstrip("\r\n") for line in sys.stdin.buffer)
        return
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
        if from_end is not None and not path.endswith(".gz") and Path(path).stat().st_size > from_end:
            file.seek(-from_end, os.SEEK_END)
            file.readline()  # the end of a line that began before
        for line in file:
            yield line.decode(errors="replace").rstrip("\r\n")
