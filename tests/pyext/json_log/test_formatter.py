import contextvars
import http
import logging
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqtrail import set_request_id
from reqtrail._native import request_id_var
from reqtrail.logging import JSONFormatter
from tests.pyext.json_log.records import parsed, record


def formatted(*args: Any, **extra: Any) -> dict[str, Any]:
    return parsed(JSONFormatter().format(record(*args, **extra)))


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_fields_come_in_the_documented_order() -> None:
    error = raised(ValueError("bad size"))
    line = contextvars.copy_context().run(
        lambda: (
            set_request_id("abc"),
            formatted(
                "%s left", 3, error=error, zebra=1, apple=2, user_id=7, task_id="t", task="sync", duration=0.5,
                status_code=http.HTTPStatus.OK, method="GET", endpoint="/a/{id}",
            ),
        )[1]
    )  # fmt: skip
    assert line.pop("time").endswith("Z")
    assert line.pop("exception").startswith("Traceback (most recent call last):\n")
    assert list(line.items()) == [
        ("level", "INFO"),
        ("logger", "shop.cart"),
        ("message", "3 left"),
        ("request_id", "abc"),
        ("origin", "api"),
        ("module", "cart"),
        ("function", "add"),
        ("line", 42),
        ("endpoint", "/a/{id}"),
        ("method", "GET"),
        ("status_code", 200),
        ("duration", 0.5),
        ("task", "sync"),
        ("task_id", "t"),
        ("error_type", "ValueError"),
        ("error_message", "bad size"),
        ("user_id", 7),
        ("zebra", 1),
        ("apple", 2),
    ]


def test_time_is_utc_with_microseconds() -> None:
    at = record()
    at.created = 1795504089.000123
    assert parsed(JSONFormatter().format(at))["time"] == "2026-11-24T07:08:09.000123Z"


def test_without_a_request_there_is_no_request_id() -> None:
    assert "request_id" not in contextvars.Context().run(formatted)


def test_the_records_own_request_id_comes_first() -> None:
    def both() -> dict[str, Any]:
        request_id_var.set("context")
        return formatted(request_id="record")

    assert contextvars.copy_context().run(both)["request_id"] == "record"


def test_origin_is_the_formatters_unless_the_record_has_one() -> None:
    assert parsed(JSONFormatter("cli").format(record()))["origin"] == "cli"
    assert formatted(origin="worker")["origin"] == "worker"


def test_an_error_is_told_with_type_message_and_traceback() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer\nline") from inner
    except RuntimeError as error:
        line = formatted("failed", error=error)
    assert (line["error_type"], line["error_message"]) == ("RuntimeError", "outer\nline")
    assert line["exception"].count("Traceback (most recent call last)") == 2
    assert "KeyError: 'inner'" in line["exception"]


def test_a_subclass_may_format_exceptions_its_own_way() -> None:
    class Short(JSONFormatter):
        def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
            return "short"

    assert parsed(Short().format(record(error=raised(ValueError()))))["exception"] == "short"


def test_a_traceback_that_was_made_in_another_process_is_kept() -> None:
    pickled = record()
    pickled.exc_text = "Traceback (most recent call last): elsewhere"
    assert parsed(JSONFormatter().format(pickled))["exception"] == "Traceback (most recent call last): elsewhere"


def test_stack_info_is_a_field() -> None:
    assert parsed(JSONFormatter().format(logging.makeLogRecord({"stack_info": "Stack"})))["stack"] == "Stack"


@given(
    st.lists(st.sampled_from(["%s", "%d", "%%", "%r", "%5s", "%.2f", "%(a)s", "%", " of ", 'é "', "\n"]), max_size=5),
    st.lists(
        st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.floats()), min_size=1, max_size=4
    ),
)
def test_a_message_has_its_arguments_where_python_puts_them(pieces: list[str], args: list[object]) -> None:
    text = "".join(pieces)
    written = formatted(text, *args)
    try:
        expected = record(text, *args).getMessage()
    except Exception:
        assert written["message"] == text
        assert len(written["args"]) == len(args)
    else:
        assert written["message"] == expected.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def test_arguments_that_do_not_fit_the_message_are_kept_beside_it() -> None:
    line = formatted("%d items", "many")
    assert (line["message"], line["args"]) == ("%d items", ["many"])
    assert formatted("%s", Broken())["args"] == ["<Broken: no text, RuntimeError>"]
    assert formatted(Broken())["message"] == "<Broken: no text, RuntimeError>"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (2**200, 2**200),
        (0.1, 0.1),
        (float("nan"), None),
        (float("-inf"), None),
        ("\ud800", "\ufffd"),
        (b"\x00raw", "b'\\x00raw'"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (ValueError("bad"), "ValueError('bad')"),
        ({"a": [1, (2,)], 3: None}, {"a": [1, [2]], "3": None}),
        ({5}, [5]),
        (Broken(), "<Broken: no text, RuntimeError>"),
        ({"in": Broken()}, {"in": "<Broken: no text, RuntimeError>"}),
        ({Broken(): 1}, {"<Broken: no text, RuntimeError>": 1}),
    ],
)
def test_any_extra_has_a_json_form(value: object, written: object) -> None:
    assert formatted(extra=value)["extra"] == written


def test_a_number_too_long_to_print_is_named() -> None:
    assert "ValueError" in str(formatted(extra=10**5000)["extra"])


def test_a_structure_that_contains_itself_ends() -> None:
    endless: list[Any] = []
    endless.extend([endless] * 50)
    itself: dict[str, Any] = {}
    itself["self"] = itself
    line = JSONFormatter().format(record(extra=endless, other=itself))
    assert len(line) < 100_000
    parsed(line)


def test_extras_named_like_a_field_do_not_double_it() -> None:
    line = formatted(time="noon", level="low", logger=1, function=2, line=3, exception=4, stack=5)
    assert {key: line[key] for key in line if key.startswith("extra_")} == {
        "extra_time": "noon",
        "extra_level": "low",
        "extra_logger": 1,
        "extra_function": 2,
        "extra_line": 3,
        "extra_exception": 4,
        "extra_stack": 5,
    }
    assert line["line"] == 42


def test_what_other_formatters_leave_on_the_record_is_no_extra() -> None:
    used = record(color_message="\x1b[1mhello")
    logging.Formatter("%(asctime)s").format(used)
    assert set(parsed(JSONFormatter().format(used))) == {
        "time", "level", "logger", "message", "origin", "module", "function", "line",
    }  # fmt: skip


def test_a_value_that_changes_the_record_while_it_is_printed() -> None:
    class Meddler:
        def __init__(self, target: Any) -> None:
            self.target = target

        def __str__(self) -> str:
            self.target.__dict__.clear()
            self.target.args = None
            return "meddled"

    target = record("%s %d", 1, 2)
    target.args = (Meddler(target), "not a number")
    target.other = Meddler(target)
    assert parsed(JSONFormatter().format(target))["message"] == "%s %d"


def test_a_value_that_logs_while_it_is_printed() -> None:
    class Chatty:
        def __str__(self) -> str:
            return str(formatted("inner")["message"])

    assert formatted("%s outer", Chatty())["message"] == "inner outer"


def test_ascii_only_escapes_what_the_stream_could_not_encode() -> None:
    line = JSONFormatter(ascii_only=True).format(record("é€😀"))
    assert line.isascii()
    assert parsed(line)["message"] == "é€😀"


def test_keyboard_interrupt_is_not_swallowed() -> None:
    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    for interrupting in (record("%s", Interrupting()), record(extra=Interrupting())):
        with pytest.raises(KeyboardInterrupt):
            JSONFormatter().format(interrupting)


def test_what_is_no_record_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="takes a LogRecord, not int"):
        JSONFormatter().format(7)  # type: ignore[arg-type]  # the subject


def test_at_the_recursion_limit_it_is_still_one_line() -> None:
    def deep() -> str:
        try:
            return deep()
        except RecursionError:
            return JSONFormatter().format(record("%s", Broken(), error=ValueError("x")))

    assert parsed(deep())["error_type"] == "ValueError"


TEXT = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary() | st.builds(Broken) | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(message=TEXT | VALUES, args=st.lists(VALUES, max_size=3), extras=st.dictionaries(TEXT, VALUES, max_size=5))
def test_whatever_is_logged_is_one_valid_line(message: object, args: list[object], extras: dict[str, object]) -> None:
    made = logging.makeLogRecord({"msg": message, "args": tuple(args), **extras})
    for ascii_only in (False, True):
        line = JSONFormatter(ascii_only=ascii_only).format(made)
        line.encode()
        parsed(line)


@given(text=TEXT)
def test_text_reads_back_as_it_was_but_for_lone_surrogates(text: str) -> None:
    expected = _without_surrogates(text)
    assert formatted("%s", text)["message"] == expected
    assert formatted(extra=text)["extra"] == expected


def _without_surrogates(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
