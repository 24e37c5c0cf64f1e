import io
import json
import logging
import logging.config
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from uvicorn.config import LOGGING_CONFIG, Config

import reqtrail.logging
from reqtrail.logging import setup
from tests.own_metrics import segment_of_the_tests

pytestmark = pytest.mark.usefixtures("logging_undone")


__all__ = ["segment_of_the_tests"]


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


@pytest.fixture
def app(not_installed: None) -> Iterator[Starlette]:
    """An application that may be installed; no other one is."""
    app = Starlette()
    yield app
    reqtrail.uninstall(app)


def serve_one_request() -> None:
    """Logs what uvicorn logs of it."""
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/", "1.1", 200)


ACCESS = '127.0.0.1:1 - "GET / HTTP/1.1" 200'


def test_uvicorns_lines_are_json(app: Starlette, stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    setup(stream=stream)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "Started in colour"})
    serve_one_request()
    assert [(line["logger"], line["message"]) for line in lines(stream)] == [
        ("uvicorn.error", "Started"),
        ("uvicorn.access", ACCESS),
    ]
    assert "color_message" not in lines(stream)[0]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("first", ["uvicorn", "setup", "install"])
def test_where_an_installation_writes_access_lines_uvicorn_writes_none(
    app: Starlette, stream: io.StringIO, capfd: pytest.CaptureFixture[str], first: str
) -> None:
    steps: dict[str, Callable[[], None]] = {
        "uvicorn": lambda: logging.config.dictConfig(LOGGING_CONFIG),
        "setup": lambda: setup(stream=stream),
        "install": lambda: reqtrail.install(app, log_level=None),
    }
    for step in (steps.pop(first), *steps.values()):
        step()
    logging.getLogger("uvicorn.error").info("Started")
    serve_one_request()
    assert messages(stream) == ["Started"]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_when_the_last_installation_goes_uvicorns_access_lines_come_back(app: Starlette, stream: io.StringIO) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)
    reqtrail.install(app, log_level=None)
    setup(stream=stream)
    another = Starlette()
    reqtrail.install(another, log_level=None)
    reqtrail.uninstall(app)
    serve_one_request()
    assert messages(stream) == []
    reqtrail.uninstall(another)
    reqtrail.uninstall(another)
    serve_one_request()
    assert messages(stream) == [ACCESS]
    reqtrail.install(app, log_level=None)
    serve_one_request()
    assert messages(stream) == [ACCESS]


def test_access_lines_that_uvicorn_was_told_not_to_write_stay_away(app: Starlette, stream: io.StringIO) -> None:
    Config("", access_log=False)
    setup(stream=stream)
    assert not logging.getLogger("uvicorn.access").hasHandlers()  # what uvicorn asks
    reqtrail.install(app, log_level=None)
    reqtrail.uninstall(app)
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_an_install_that_is_refused_leaves_uvicorns_access_lines(app: Starlette, stream: io.StringIO) -> None:
    setup(stream=stream)
    with pytest.raises(TypeError):
        reqtrail.install(app, engine=object())
    serve_one_request()
    assert messages(stream) == [ACCESS]


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
