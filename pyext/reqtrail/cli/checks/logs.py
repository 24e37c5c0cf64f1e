"""Are log lines JSON with a request id, and do the workers' lines have ids that came from the API?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reqtrail.cli.checks import Given, Result, State, skipped, verdict
from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.json_lines import parse_object
from reqtrail.cli.sources.log_files import STDIN, LogFilesSource
from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.sources.postgres_log import RecordReader, record_of_json
from reqtrail.cli.wording import counted, shortened

_CHECKS = ("JSON lines", "request id", "own request", "task header")
_WAIT_SECONDS = 5.0
_FEW = 0.1
"""The part of the lines that may be no JSON: other libraries print too."""


@dataclass
class _File:
    """What is in one file. What a server writes before the application has set up its logs does not count."""

    parsed: int = 0
    bad: int = 0
    first_bad: str = ""
    of_postgresql: bool = False


@dataclass
class _Seen:
    files: dict[str, _File] = field(default_factory=dict)
    ids_of: dict[str, set[str]] = field(default_factory=dict)
    """By origin: api, worker, cli."""

    @property
    def ids(self) -> set[str]:
        return {request_id for ids in self.ids_of.values() for request_id in ids}


def check_logs(given: Given) -> Iterator[Result]:
    """Read the files that are given."""
    if not given.logs:
        yield from skipped("logs", _CHECKS, "--logs")
        return
    source = LogFilesSource(given.logs)
    part = f"logs {source.name}"
    try:
        seen = _read(source)
        if given.api is not None and STDIN not in given.logs:
            seen = _await_probe(source, given.probe_id, seen)
    except SourceError as error:
        yield Result(part, "JSON lines", "failed", str(error), "See the paths, and the rights to the files.")
        return
    yield from _verdicts(part, seen, given)


def _read(source: LogFilesSource) -> _Seen:
    seen = _Seen()
    readers: dict[str, RecordReader] = {}
    for path, line in source.last_lines():
        file = seen.files.setdefault(path, _File())
        record = parse_object(line)
        if record is not None and parse_moment(record.get("time")) is not None:
            file.parsed += 1
            request_id = record.get("request_id")
            if isinstance(request_id, str):
                seen.ids_of.setdefault(str(record.get("origin", "")), set()).add(request_id)
        elif _is_of_postgresql(record, line, readers.setdefault(path, RecordReader())):
            file.of_postgresql = True
        elif line.strip() and file.parsed:
            file.bad += 1
            file.first_bad = file.first_bad or shortened(line, 80)
    return seen


def _is_of_postgresql(record: dict[str, Any] | None, line: str, reader: RecordReader) -> bool:
    return record_of_json(record) is not None if record is not None else any(True for _ in reader.feed(line))


def _await_probe(source: LogFilesSource, probe_id: str, seen: _Seen) -> _Seen:
    """A request is logged when it is over, which may be a moment after its answer."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while probe_id not in seen.ids and time.monotonic() < deadline:
        time.sleep(0.2)
        seen = _read(source)
    return seen


def _verdicts(part: str, seen: _Seen, given: Given) -> Iterator[Result]:
    yield _json_lines(part, seen)
    told = f"{len(seen.ids)} different request ids" if seen.ids else "no line has a request_id"
    yield verdict(
        part, "request id", bool(seen.ids), told, "Only lines written during a request or task have one: send one."
    )
    if given.api is None:
        yield from skipped(part, ("own request",), "--api")
    else:
        found = given.probe_id in seen.ids
        told = "the doctor's request is in them" if found else "the doctor's own request is not in them"
        yield verdict(
            part, "own request", found, told, "These are the files of another process, or access lines are sampled."
        )
    yield _task_header(part, seen)


def _json_lines(part: str, seen: _Seen) -> Result:
    parsed = sum(file.parsed for file in seen.files.values())
    without = [path for path, file in seen.files.items() if not file.parsed and not file.of_postgresql]
    broken = [file for file in seen.files.values() if file.bad > _FEW * file.parsed]
    told = f"{counted(parsed, 'line')} in {counted(len(seen.files), 'file')} parse"
    if without:
        told += f"; there is none in {', '.join(without)}"
    if broken:
        told += f"; not JSON: {broken[0].first_bad}"
    remedy = "Write them with reqtrail.install(app) or reqtrail.logging.setup(): see docs/logging.md."
    state: State = "warning" if parsed else "failed"
    return verdict(part, "JSON lines", parsed > 0 and not without and not broken, told, remedy, else_state=state)


def _task_header(part: str, seen: _Seen) -> Result:
    of_api, of_worker = seen.ids_of.get("api", set()), seen.ids_of.get("worker", set())
    if not of_worker:
        remedy = (
            "Give the worker's log too, started with --loglevel=INFO; call reqtrail.celery.install(celery_app) in it."
        )
        return Result(part, "task header", "warning", "there is no line of a worker with a request id", remedy)
    carried = of_api & of_worker
    told = f"{len(carried)} requests went on in a worker" if carried else "no id of a worker is one of the API"
    remedy = "Call reqtrail.install(app, celery=celery_app) in the API: it puts the id on what it publishes."
    return verdict(part, "task header", bool(carried), told, remedy)
