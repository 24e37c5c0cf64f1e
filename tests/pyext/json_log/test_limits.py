"""What is cut, left out or hidden in a log line, and that its fields are otherwise those of a slow, plain model."""

import json
import logging
import math
import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqtrail._native import request_id_var
from reqtrail.logging import JSONFormatter, SamplingFilter
from tests.pyext.json_log.records import parsed, record


def line_of(made: logging.LogRecord, **options: Any) -> dict[str, Any]:
    return parsed(JSONFormatter(**options).format(made))


# ---- too long ----


def test_of_a_huge_message_the_start_is_kept() -> None:
    line = line_of(record("x" * 1_000_000))
    assert line["message"] == "x" * 65536 + "...[1000000 bytes]..."
    assert line["line"] == 42


def test_a_text_of_just_the_limit_is_whole() -> None:
    assert line_of(record("x" * 100), max_text_bytes=100)["message"] == "x" * 100
    assert line_of(record("x" * 101), max_text_bytes=100)["message"] == "x" * 100 + "...[101 bytes]..."


@given(text=st.text(min_size=1), limit=st.integers(64, 80), ascii_only=st.booleans())
def test_a_cut_never_breaks_a_character(text: str, limit: int, ascii_only: bool) -> None:
    text *= 100
    encoded = text.encode("utf-8", "surrogatepass")
    message = line_of(record("%s", text), max_text_bytes=limit, ascii_only=ascii_only)["message"]
    readable = encoded.decode("utf-8", "replace") if not text.isascii() else text
    if len(encoded) > limit:
        start, _, _ = message.rpartition("...[")
        assert message.endswith(f"...[{len(encoded)} bytes]...")
        assert len(start.encode()) >= limit - 3
    else:
        assert len(message) <= len(readable)


def test_of_a_huge_traceback_start_and_end_are_kept() -> None:
    try:
        raise ValueError("x" * 200_000 + " the end")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    line = line_of(made)
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("xxx the end")
    assert "bytes]..." in line["exception"]
    assert len(line["exception"]) < 66_000
    assert line["error_message"].startswith("xxx")


def test_a_line_that_is_too_long_leaves_out_what_follows() -> None:
    extras: dict[str, Any] = {f"extra_{i}": "x" * 60_000 for i in range(100)}
    line = line_of(record(**extras))
    assert line["truncated"] is True
    assert line["extra_0"] == "x" * 60_000
    assert "extra_99" not in line
    assert len(json.dumps(line)) < 400_000


def test_a_line_has_two_thousand_values_at_the_most() -> None:
    line = line_of(record(many=list(range(10_000)), mapping={i: i for i in range(10_000)}))
    assert line["many"][:5] == [0, 1, 2, 3, 4]
    assert len(line["many"]) <= 2001
    assert line["truncated"] is True


def test_an_extra_called_truncated_is_told_apart() -> None:
    line = line_of(record(truncated="mine"))
    assert line["extra_truncated"] == "mine"
    assert "truncated" not in line


def test_a_deep_structure_ends() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    assert "[...]" in json.dumps(line_of(record(deep=deep)))
    while isinstance(deep, list):  # its destruction at one go is deep too
        deep = deep.pop()


# ---- hidden ----


def test_given_keys_are_redacted_at_any_depth_and_in_any_case() -> None:
    line = line_of(
        record(
            Password="p1",
            user={"name": "ann", "PASSWORD": "p2", "logins": [{"Api-Key": "p3", "at": 1}]},
            user_id=7,
            token="kept",
        ),
        redact=["password", "API-KEY", "user_id", "absent"],
    )
    assert line["Password"] == "[redacted]"
    assert line["user"] == {"name": "ann", "PASSWORD": "[redacted]", "logins": [{"Api-Key": "[redacted]", "at": 1}]}
    assert line["user_id"] == "[redacted]"
    assert line["token"] == "kept"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_redacted_key_may_have_any_letters(ascii_only: bool) -> None:
    extras: dict[str, Any] = {"sch\xfcssel": "s", 'quo"te': "q"}
    line = line_of(record(**extras), redact=["sch\xfcssel", 'Quo"te'], ascii_only=ascii_only)
    assert (line["sch\xfcssel"], line['quo"te']) == ("[redacted]", "[redacted]")


def test_redaction_reaches_arguments_that_do_not_fit_the_message() -> None:
    made = record("%d", {"password": "p", "size": 3})
    assert "p" not in line_of(made, redact=["password"])["args"].values()


def test_a_redacted_value_is_not_even_looked_at() -> None:
    class Secret:
        def __str__(self) -> str:
            raise AssertionError

    assert line_of(record(secret=Secret()), redact=["secret"])["secret"] == "[redacted]"


@pytest.mark.parametrize("redact", [7, [7], "password"])
def test_what_is_redacted_are_names(redact: Any) -> None:
    with pytest.raises(TypeError):
        JSONFormatter(redact=redact)


# ---- held back ----


def access(endpoint: str, status: int = 200, level: int = logging.INFO) -> logging.LogRecord:
    made = record(levelno=level, endpoint=endpoint, status_code=status)
    made.name = "reqtrail.access"
    return made


def passing(sampling: SamplingFilter, endpoint: str, times: int, **how: Any) -> list[int]:
    return [i for i in range(times) if sampling.filter(access(endpoint, **how))]


def test_a_part_of_the_access_lines_passes_evenly_and_the_first_always() -> None:
    sampling = SamplingFilter({"/healthz": 0.01, "/metrics": 0, "/often": 0.75, "/all": 1})
    assert passing(sampling, "/healthz", 1000) == list(range(0, 1000, 100))
    assert passing(sampling, "/metrics", 100) == []
    assert len(passing(sampling, "/often", 100)) == 75
    assert len(passing(sampling, "/all", 100)) == 100
    assert len(passing(sampling, "/other", 100)) == 100


def test_a_star_is_every_endpoint_that_is_not_named() -> None:
    sampling = SamplingFilter({"*": 0.1, "/orders": 1})
    assert len(passing(sampling, "/healthz", 100)) == 10
    assert len(passing(sampling, "/orders", 100)) == 100


def test_lines_about_errors_and_of_others_always_pass() -> None:
    sampling = SamplingFilter({"*": 0})
    assert len(passing(sampling, "/healthz", 10, status=500)) == 10
    assert len(passing(sampling, "/healthz", 10, status=404)) == 10
    assert len(passing(sampling, "/healthz", 10, level=logging.WARNING)) == 10
    assert sampling.filter(record(endpoint="/healthz", status_code=200))
    assert passing(sampling, "/healthz", 10) == []


@given(rate=st.floats(0, 1), times=st.integers(1, 300))
def test_the_part_that_passes_is_the_one_asked_for(rate: float, times: int) -> None:
    assert abs(len(passing(SamplingFilter({"/a": rate}), "/a", times)) - rate * times) <= 1


# ---- the model ----

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=15
)
NAMES = TEXT.filter(lambda name: name not in logging.makeLogRecord({}).__dict__)
PLACED = ("endpoint", "method", "status_code", "duration", "task", "task_id", "error_type", "error_message", "user_id")
TAKEN = ("time", "level", "logger", "function", "line", "exception", "stack", "truncated")


def plain(value: Any) -> Any:
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def modelled(made: logging.LogRecord, request_id: str | None) -> dict[str, Any]:
    line: dict[str, Any] = {"level": made.levelname, "logger": made.name, "message": plain(made.getMessage())}
    extras = {name: value for name, value in made.__dict__.items() if name not in logging.makeLogRecord({}).__dict__}
    own = extras.pop("request_id", None)
    if own is not None or request_id is not None:
        line["request_id"] = own if own is not None else request_id
    own = extras.pop("origin", None)
    line["origin"] = "api" if own is None else own
    line |= {"module": made.module, "function": made.funcName, "line": made.lineno}
    error = made.exc_info[1] if made.exc_info else None
    if error is not None:
        line |= {"error_type": type(error).__name__, "error_message": plain(str(error))}
    line |= {name: extras.pop(name) for name in PLACED if extras.get(name) is not None}
    if error is not None:
        line["exception"] = plain("".join(traceback.format_exception(error)).removesuffix("\n"))
    for name, value in extras.items():
        if name not in PLACED and name not in ("message", "asctime", "color_message"):
            line[f"extra_{name}" if name in TAKEN else plain(name)] = value
    return {name: plain(value) for name, value in line.items()}


@given(
    message=TEXT.filter(lambda text: "%" not in text),
    argument=SCALARS,
    extras=st.dictionaries(NAMES | st.sampled_from([*PLACED, *TAKEN, "request_id", "origin"]), VALUES, max_size=6),
    error=st.none() | st.builds(ValueError, TEXT),
    request_id=st.none() | st.just("abc-1"),
)
def test_a_line_is_that_of_the_model(
    message: str, argument: Any, extras: dict[str, Any], error: Exception | None, request_id: str | None
) -> None:
    made = record(message + " %s", argument)
    made.__dict__.update(extras)
    if error is not None:
        made.exc_info = (type(error), error, None)
    token = request_id_var.set(request_id) if request_id is not None else None
    try:
        line = line_of(made)
    finally:
        if token is not None:
            request_id_var.reset(token)
    line.pop("time")
    assert line == modelled(made, request_id)
