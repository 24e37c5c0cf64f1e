import contextvars
import subprocess
import sys

import pytest

import reqtrail


def test_there_is_no_id_outside_of_a_request() -> None:
    assert contextvars.Context().run(reqtrail.get_request_id) is None


def test_reset_puts_the_previous_id_back() -> None:
    outer = reqtrail.set_request_id("outer")
    inner = reqtrail.set_request_id("inner")
    assert reqtrail.get_request_id() == "inner"
    reqtrail.reset_request_id(inner)
    assert reqtrail.get_request_id() == "outer"
    reqtrail.reset_request_id(outer)
    assert reqtrail.get_request_id() is None


@pytest.mark.parametrize(
    ("id_", "reason"),
    [
        ("", "empty"),
        ("a" * 129, "longer than 128"),
        ("a\r\nb", "character"),
        ("\ud800", "character"),
        ("é", "character"),
    ],
)
def test_a_string_that_is_no_id_is_refused_with_the_reason(id_: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reqtrail.set_request_id(id_)
    assert reqtrail.get_request_id() is None


def test_an_id_that_is_not_a_str_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        reqtrail.set_request_id(b"abc")  # type: ignore[arg-type]  # what the test is about


def test_importing_reqtrail_imports_nothing_that_it_instruments() -> None:
    program = (
        "import sys, reqtrail; "
        "print([m for m in ('celery', 'sqlalchemy', 'starlette', 'fastapi', 'logging.config') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/")
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "asgi.install",
        "asyncpg.install",
        "celery.install",
        "logging.setup",
        "metrics.open_segment",
        "psycopg.install",
        "psycopg2.install",
        "sql_comment.MODES",
        "sql_tags.RouteMiddleware",
        "sqlalchemy.install",
    ],
)
def test_after_importing_reqtrail_alone_every_part_can_be_written_as_the_documents_write_it(name: str) -> None:
    part = name.partition(".")[0]
    program = f"import reqtrail; print({part!r} in dir(reqtrail)); reqtrail.{name}"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/")
    assert printed.stdout.strip() == "True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        reqtrail.nonsense  # noqa: B018 - reading it is the test
