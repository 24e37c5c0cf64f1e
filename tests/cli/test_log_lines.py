"""Reading logs: the formats, what waits for a lock, and that no line, however broken, is more than passed over."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqtrail.cli.sources.json_lines import begun_as_errors_say
from reqtrail.cli.sources.log_files import LogFilesSource
from reqtrail.cli.sources.log_lines import LineReader, holder_pids, name_holders, tagged_records
from reqtrail.cli.sources.moment import parse_moment
from reqtrail.cli.timeline import Event

ID = "r-1"
TEXT = f"""\
2026-11-24 07:08:09.500 UTC [11] app@shop ERROR:  duplicate key value
2026-11-24 07:08:09.500 UTC [11] app@shop DETAIL:  Key (id)=(1) already exists.
\trequest_id: {ID}
2026-11-24 07:08:09.500 UTC [11] app@shop STATEMENT:  INSERT INTO item
\tVALUES (1)
2026-11-24 07:08:09.600 UTC [12] app@shop LOG:  duration: 250.5 ms  statement: SELECT 'not ours'
2026-11-24 07:08:09.600 UTC [12] app@shop DETAIL:  request_id: r-2
2026-11-24 07:08:10.000 UTC [11] app@shop LOG:  duration: 250.5 ms  statement: SELECT
\tpg_sleep(1)
2026-11-24 07:08:10.000 UTC [11] app@shop DETAIL:  request_id: {ID}
"""


def read(text: str) -> list[Event]:
    reader = LineReader(ID, "test")
    for line in text.splitlines():
        reader.feed(line)
    reader.finish()
    return reader.events


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-24T{text}+00:00")


def test_the_text_format_of_postgresql() -> None:
    error, statement = read(TEXT)
    assert (error.kind, error.name, error.start, error.failed) == (
        "error",
        "duplicate key value",
        at("07:08:09.500"),
        True,
    )
    assert error.details["detail"] == "Key (id)=(1) already exists."
    assert error.details["statement"] == "INSERT INTO item\nVALUES (1)"
    assert error.details["pid"] == 11
    assert (statement.kind, statement.name) == ("statement", "SELECT pg_sleep(1)")
    assert statement.duration_ms == 250.5
    assert statement.end == at("07:08:10.000")


def test_a_record_of_csvlog_that_a_crash_cut_off_takes_no_other_with_it() -> None:
    time = "2026-11-24 07:08:09.500 UTC"
    columns = (
        f'{time},"app","shop",11,"h:1",6.1,1,"SELECT",{time},3/1,0,ERROR,22012,"division by zero","request_id: {ID}"'
    )
    events = read(f'{columns[:-20]}\n{columns},,,,,"SELECT 1/0",,,"app","client backend",,0\n')
    assert [event.name for event in events] == ["division by zero"]


def test_a_line_of_csvlog_that_a_record_quotes_begins_no_record() -> None:
    time = "2026-11-24 07:08:09.500 UTC"
    quoted = f'\n{time},"app","shop",11,,6.1,1,\n{time},\n{time},,,11,\n{time},'
    statement = f"SELECT '{quoted}'"
    record = f'{time},"app","shop",11,"h:1",6.1,1,"SELECT",{time},3/1,0,ERROR,22012,"refused","request_id: {ID}"'
    rest = statement.replace('"', '""')
    [error] = read(f'{record},,,,,"{rest}",,,"app","client backend",,0')
    assert error.details["statement"] == statement


@pytest.mark.parametrize("host", ["", '"127.0.0.1:5432"'])
def test_a_record_without_a_user_ends_one_that_a_crash_cut_off(host: str) -> None:
    time = "2026-11-24 07:08:09.500 UTC"
    cut_off = f'{time},"app","shop",11,"h:1",6.1,1,"SELECT",{time},3/1,0,ERROR,22012,"cut'
    whole = f'{time},,,12,{host},6a.f2,1,"",{time},,0,LOG,00000,"whole","request_id: {ID}",,,,,,,,"","postmaster",,0'
    assert [event.name for event in read(f"{cut_off}\n{whole}\n")] == ["whole"]


def test_a_line_of_csvlog_with_line_ends_in_it() -> None:
    fields = ["2026-11-24 07:08:09.500 UTC", "app", "shop", "11", "", "", "", "", "", "", "", "ERROR", "23505"]
    fields += ['dup "key"', f"Key exists.\nrequest_id: {ID}", "", "", "", "", "INSERT\nINTO", "", "", "", "", "", "7"]
    line = ",".join('"' + field.replace('"', '""') + '"' if field else "" for field in fields[1:])
    [error] = read(f"{fields[0]},{line}")
    assert error.name == 'dup "key"'
    assert error.details["sqlstate"] == "23505"
    assert error.details["database"] == "shop"
    assert error.details["statement"] == "INSERT\nINTO"


def test_a_wait_for_a_lock_is_one_event_with_its_holder() -> None:
    text = f"""\
2026-11-24 07:08:09.100 UTC [11] LOG:  process 11 still waiting for ShareLock on transaction 745 after 100.0 ms
2026-11-24 07:08:09.100 UTC [11] DETAIL:  Process holding the lock: 22. Wait queue: 11.
\trequest_id: {ID}
2026-11-24 07:08:11.000 UTC [11] LOG:  process 11 acquired ShareLock on transaction 745 after 2000.0 ms
2026-11-24 07:08:11.000 UTC [11] DETAIL:  request_id: {ID}
2026-11-24 06:00:00.000 UTC [22] LOG:  duration: 1.0 ms  statement: SELECT 'long before'
2026-11-24 06:00:00.000 UTC [22] DETAIL:  request_id: earlier
2026-11-24 07:08:11.050 UTC [22] LOG:  duration: 1.0 ms  statement: SELECT 'the holder'
2026-11-24 07:08:11.050 UTC [22] DETAIL:  request_id: holder
"""
    events = read(text)
    assert holder_pids(events) == {22}
    [lock] = name_holders(events, tagged_records(text.splitlines(), {22}))
    assert (lock.kind, lock.start, lock.duration_ms) == ("lock", at("07:08:09.000"), 2000.0)
    assert lock.details["held_by"] == ["holder"]


def test_a_request_of_the_json_lines_begins_before_its_error_line() -> None:
    shared = {"request_id": ID, "method": "GET", "endpoint": "/x", "duration": 0.1}
    error = {**shared, "time": "2026-11-24T07:08:09.100Z", "level": "ERROR", "logger": "reqtrail.error", "message": "m"}
    access = {
        **shared,
        "time": "2026-11-24T07:08:09.150Z",
        "logger": "reqtrail.access",
        "message": "m",
        "status_code": 500,
    }
    events = begun_as_errors_say(read(json.dumps(error) + "\n" + json.dumps(access)))
    [request] = [event for event in events if event.kind == "request"]
    assert (request.start, request.duration_ms) == (at("07:08:09.000"), 100.0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T07:08:09.000123Z", datetime(2026, 11, 24, 7, 8, 9, 123, timezone.utc)),
        ("2026-11-24T07:08:09+01:00", datetime(2026, 11, 24, 6, 8, 9, 0, timezone.utc)),
        ("2026-11-24 07:08:09.5 UTC", datetime(2026, 11, 24, 7, 8, 9, 500000, timezone.utc)),
        ("2026-11-24 07:08:09.5 Europe/Berlin", datetime(2026, 11, 24, 6, 8, 9, 500000, timezone.utc)),
        ("2026-11-24 07:08:09 +02", datetime(2026, 11, 24, 5, 8, 9, 0, timezone.utc)),
        ("2026-11-24 07:08:09,250", datetime(2026, 11, 24, 7, 8, 9, 250000).astimezone(timezone.utc)),
        (1764000000, datetime.fromtimestamp(1764000000, timezone.utc)),
        ("yesterday", None),
        (True, None),
        (1e300, None),
        (None, None),
    ],
)
def test_moments(text: object, moment: datetime | None) -> None:
    assert parse_moment(text) == moment


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["time", "level", "logger", "message", "duration", "task", "state", "status_code", "error_type", "error_message"]
) | st.sampled_from(["timestamp", "error_severity", "detail", "pid", "method", "endpoint", "exception", "request_id"])
LOGGERS = st.sampled_from(["reqtrail.access", "reqtrail.task", "reqtrail.error", "app"])


@st.composite
def json_lines(draw: st.DrawFn) -> str:
    """An object that could be a log line, with anything as its values."""
    fields = draw(st.dictionaries(NAMES, JSON, max_size=8))
    known = {"request_id": ID, "logger": draw(LOGGERS), "time": "2026-11-24T07:08:09.5Z"}
    return json.dumps({**fields, **draw(st.sampled_from([known, {"request_id": ID}, {}]))})


@st.composite
def server_lines(draw: st.DrawFn) -> str:
    """A line that could be PostgreSQL's, cut or repeated anywhere."""
    line = draw(st.sampled_from([*TEXT.splitlines(), f'2026-11-24 07:08:09.500 UTC,"a","b",1,"{ID}', 'x"",,"']))
    start, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
    return line[:start] + draw(st.text(max_size=5)) + line[end:]


@given(st.lists(st.text() | json_lines() | server_lines(), max_size=12))
def test_no_line_is_ever_an_error(lines: list[str]) -> None:
    reader = LineReader(ID, "test")
    for line in lines:
        reader.feed(line)
    reader.finish()
    for event in reader.events:
        assert event.start.tzinfo is not None
        assert event.duration_ms is None or event.duration_ms >= 0
    list(tagged_records(lines, {11, 22}))
    begun_as_errors_say(reader.events)


@given(st.binary(max_size=300))
def test_no_file_is_ever_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "garbage.log"
    file.write_bytes(content + b'\n{"request_id":"r-1","time":"2026-11-24T07:08:09Z","message":"here"}\n')
    events = LogFilesSource([str(file)]).collect(ID).events
    assert [event.name for event in events] == ["here"]
