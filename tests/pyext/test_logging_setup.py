import io
import json
import logging
import logging.config
import subprocess
import sys
from typing import Any

import pytest
from uvicorn.config import LOGGING_CONFIG

import reqtrail.logging
from reqtrail.logging import setup

pytestmark = pytest.mark.usefixtures("logging_undone")


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def messages(stream: io.StringIO) -> list[str]:
    return [line["message"] for line in lines(stream)]


def test_every_logger_of_the_application_writes_json_lines(stream: io.StringIO) -> None:
    setup(origin="cli", stream=stream)
    logging.getLogger("shop.cart").info("one")
    logging.getLogger("shop").warning("two")
    logging.getLogger("shop").debug("not this")
    assert [(line["logger"], line["level"], line["message"], line["origin"]) for line in lines(stream)] == [
        ("shop.cart", "INFO", "one", "cli"),
        ("shop", "WARNING", "two", "cli"),
    ]


def test_it_writes_to_standard_output_and_replaces_what_wrote_to_the_console() -> None:
    program = (
        "import logging, reqtrail.logging; logging.basicConfig(level='INFO'); "
        "reqtrail.logging.setup(); logging.getLogger('shop').info('once')"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/")
    assert json.loads(ended.stdout)["message"] == "once"
    assert ended.stderr == ""


def test_a_standard_output_that_knows_only_ascii_gets_every_line() -> None:
    program = "import logging, reqtrail.logging; reqtrail.logging.setup(); logging.getLogger('shop').info('caf\\xe9')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert json.loads(ended.stdout)["message"] == "café"
    assert ended.stderr == ""


def test_twice_is_once_and_the_last_one_counts(stream: io.StringIO) -> None:
    setup("DEBUG", origin="api", stream=io.StringIO())
    setup("WARNING", origin="worker", stream=stream)
    logging.getLogger("shop").info("too mild")
    logging.getLogger("shop").warning("once")
    assert [(line["message"], line["origin"]) for line in lines(stream)] == [("once", "worker")]


def test_uvicorns_lines_are_json_but_for_its_access_lines(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    setup(stream=stream)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "Started in colour"})
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/", "1.1", 200)
    assert messages(stream) == ["Started"]
    assert "color_message" not in lines(stream)[0]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_gunicorns_and_celerys_loggers_hand_their_records_on(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gunicorn.error", "celery", "celery.task"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [logging.StreamHandler(sys.stderr)])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    setup(stream=stream)
    for name in ("gunicorn.error", "celery.worker", "celery.task"):
        logging.getLogger(name).warning(name)
    assert messages(stream) == ["gunicorn.error", "celery.worker", "celery.task"]


def test_handlers_that_write_elsewhere_stay(stream: io.StringIO) -> None:
    elsewhere = io.StringIO()
    handler = logging.StreamHandler(elsewhere)
    logging.getLogger().addHandler(handler)
    try:
        setup(stream=stream)
        logging.getLogger("shop").warning("both")
    finally:
        logging.getLogger().removeHandler(handler)
    assert messages(stream) == ["both"]
    assert elsewhere.getvalue() == "both\n"


def test_reset_puts_everything_back(stream: io.StringIO) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "celery", "celery.task"]

    def state() -> list[Any]:
        found = [logging.getLogger(name or None) for name in names]
        return [(logger.level, set(logger.handlers), logger.propagate) for logger in found]

    before = state()
    setup("DEBUG", stream=stream)
    setup("ERROR", stream=stream)
    assert state() != before
    reqtrail.logging.reset()
    assert state() == before
    reqtrail.logging.reset()
    assert state() == before


@pytest.mark.parametrize("level", ["LOUD", "", True, -1, None, 1.5])
def test_a_level_that_is_none_is_refused_with_those_that_are(level: Any) -> None:
    before = logging.getLogger().level
    with pytest.raises(ValueError, match="level is DEBUG, INFO, WARNING, ERROR or CRITICAL, or the number"):
        setup(level)
    assert logging.getLogger().level == before


@pytest.mark.parametrize(("level", "number"), [("info", 20), ("ERROR", 40), (15, 15)])
def test_a_level_is_a_name_or_a_number(level: str | int, number: int, stream: io.StringIO) -> None:
    setup(level, stream=stream)
    assert logging.getLogger().level == number


def test_disabled_by_the_environment_it_does_nothing(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    setup(stream=stream)
    logging.getLogger("shop").warning("elsewhere")
    assert stream.getvalue() == ""


def test_a_stream_that_is_closed_fails_nobody(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    setup(stream=stream)
    stream.close()
    logging.getLogger("shop").warning("lost")
