"""The options of `setup`, and logging set up by other means: dictConfig, structlog, loguru, a format of one's own."""

import io
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loguru
import pytest
import structlog

import reqtrail
from reqtrail.logging import JSONHandler, RequestIDFilter, add_request_id, setup, setup_unless_done

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "logging.md"


pytestmark = pytest.mark.usefixtures("logging_undone")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def request_id() -> Iterator[str]:
    token = reqtrail.set_request_id("abc-1")
    yield "abc-1"
    reqtrail.reset_request_id(token)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(path: Path) -> list[str]:
    return [line["message"] for line in lines(path)]


# ---- setup ----


def test_levels_of_single_loggers(path: Path) -> None:
    before = logging.getLogger("shop.db").level
    setup("INFO", file=path, levels={"shop.db": "WARNING", "shop.cart": "debug"})
    logging.getLogger("shop.db").info("too mild")
    logging.getLogger("shop.cart").debug("fine")
    setup("INFO", file=path)
    logging.getLogger("shop.db").info("again")
    logging.getLogger("shop.cart").debug("no longer")
    assert messages(path) == ["fine", "again"]
    reqtrail.logging.reset()
    assert logging.getLogger("shop.db").level == before


def test_a_wrong_level_of_a_single_logger_changes_nothing(path: Path) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(ValueError, match="level is DEBUG"):
        setup(file=path, levels={"shop": "LOUD"})
    assert logging.getLogger().handlers == before


def access(endpoint: str, status: int = 200) -> None:
    extra = {"endpoint": endpoint, "status_code": status, "password": "p"}
    logging.getLogger("reqtrail.access").info("%s %d", endpoint, status, extra=extra)


@pytest.mark.parametrize("to_file", [True, False])
def test_sampling_and_redaction(path: Path, to_file: bool) -> None:
    stream = io.StringIO()
    sample, redact = {"/healthz": 0.1}, ["password"]
    if to_file:
        setup(file=path, sample=sample, redact=redact)
    else:
        setup(stream=stream, sample=sample, redact=redact)
    for _ in range(20):
        access("/healthz")
    access("/healthz", 503)
    access("/orders")
    text = path.read_text() if to_file else stream.getvalue()
    written = [json.loads(line) for line in text.splitlines()]
    assert [line["message"] for line in written] == ["/healthz 200", "/healthz 200", "/healthz 503", "/orders 200"]
    assert {line["password"] for line in written} == {"[redacted]"}


def test_a_new_setup_writes_first_what_the_one_before_has_queued(path: Path) -> None:
    setup(file=path, queue_size=1000)
    for i in range(500):
        logging.getLogger("shop").info("%d", i)
    setup(file=path)
    assert messages(path) == [str(i) for i in range(500)]


def test_what_the_application_set_up_itself_stays(path: Path, tmp_path: Path) -> None:
    setup("DEBUG", file=path, redact=["password"])
    setup_unless_done("ERROR")
    logging.getLogger("shop").debug("one", extra={"password": "p"})
    setup_unless_done("ERROR", origin="worker")
    logging.getLogger("shop").debug("two", extra={"password": "p"})
    setup_unless_done("ERROR", origin="worker", file=str(tmp_path / "worker.log"))
    logging.getLogger("shop").debug("three", extra={"password": "p"})
    written = lines(path) + lines(tmp_path / "worker.log")
    assert [(line["message"], line["origin"], line["password"]) for line in written] == [
        ("one", "api", "[redacted]"),
        ("two", "worker", "[redacted]"),
        ("three", "worker", "[redacted]"),
    ]


def test_without_a_setup_of_its_own_the_last_install_counts(path: Path) -> None:
    setup_unless_done("DEBUG", file=str(path))
    setup_unless_done("ERROR", file=str(path))
    logging.getLogger("shop").debug("no")
    logging.getLogger("shop").error("yes")
    assert messages(path) == ["yes"]


def test_a_server_that_sets_its_loggers_up_later_writes_json_all_the_same(
    not_installed: None, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    setup(file=path)
    for name in ("hypercorn.error", "uvicorn", "uvicorn.access", "gunicorn.error"):
        late = logging.getLogger(name)
        late.addHandler(logging.StreamHandler())
        late.setLevel(logging.INFO)
        late.propagate = False
    for name in ("hypercorn.error", "uvicorn.error", "uvicorn.access", "gunicorn.error"):
        logging.getLogger(name).info(name)
    assert messages(path) == ["hypercorn.error", "uvicorn.error", "uvicorn.access", "gunicorn.error"]
    assert capfd.readouterr() == ("", "")


# ---- other ways ----


@pytest.fixture
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    reqtrail.logging.reset()  # first, because it puts back the handlers that `setup` took away
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.handlers[:], root.level = handlers, level
    root.setLevel(level)


def documented(name: str) -> dict[str, Any]:
    """What the Python example in docs/logging.md that assigns `name` makes of it."""
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if f"{name} = " in code)
    found: dict[str, Any] = {}
    exec(code, found)
    value = found[name]
    assert isinstance(value, dict)
    return value


@pytest.mark.usefixtures("root_as_before")
def test_the_documented_dict_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_id: str) -> None:
    monkeypatch.chdir(tmp_path)
    logging.config.dictConfig(documented("LOGGING"))
    logging.getLogger("shop").info("from dictConfig", extra={"Password": "p"})
    access("/healthz")
    access("/healthz")
    logging.getLogger("sqlalchemy.engine").info("too mild")
    first, second = lines(tmp_path / "app.log")
    assert (first["message"], first["Password"], first["request_id"]) == ("from dictConfig", "[redacted]", request_id)
    assert second["message"] == "/healthz 200"


@pytest.mark.usefixtures("root_as_before")
def test_install_leaves_a_handler_of_ours_that_is_there_alone(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().addHandler(JSONHandler("stdout"))
    setup_unless_done("INFO")
    logging.getLogger("shop").warning("once")
    assert len(capfd.readouterr().out.splitlines()) == 1


@pytest.mark.usefixtures("root_as_before")
def test_setup_takes_the_place_of_a_handler_of_ours_on_the_console(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().addHandler(JSONHandler("stderr"))
    logging.getLogger().addHandler(JSONHandler(path))
    setup("INFO")
    logging.getLogger("shop").warning("twice")
    captured = capfd.readouterr()
    assert (len(captured.out.splitlines()), captured.err) == (1, "")
    assert messages(path) == ["twice"]


@pytest.mark.usefixtures("root_as_before")
def test_a_dict_config_may_name_formatter_and_filters(path: Path) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": "reqtrail.logging.JSONFormatter", "origin": "cli"}},
            "filters": {"sampling": {"()": "reqtrail.logging.SamplingFilter", "sample": {"/healthz": 0}}},
            "handlers": {
                "file": {
                    "class": "reqtrail.logging.JSONHandler",
                    "target": str(path),
                    "level": "INFO",
                    "formatter": "json",
                    "filters": ["sampling"],
                }
            },
            "root": {"level": "DEBUG", "handlers": ["file"]},
        }
    )
    logging.getLogger("shop").debug("too mild")
    logging.getLogger("shop").info("fine")
    access("/healthz")
    assert [(line["message"], line["origin"]) for line in lines(path)] == [("fine", "cli")]


def test_a_format_of_ones_own_gets_the_id() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
    handler.addFilter(RequestIDFilter())
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.warning("outside")
    token = reqtrail.set_request_id("0a4ce3cb-30cc")
    logger.warning("inside")
    logger.warning("its own", extra={"request_id": "own"})
    handler.filters[:] = [RequestIDFilter(length=8, default="none")]
    logger.warning("short")
    reqtrail.reset_request_id(token)
    assert stream.getvalue().splitlines() == [
        "[-] outside",
        "[0a4ce3cb-30cc] inside",
        "[own] its own",
        "[0a4ce3cb] short",
    ]


def test_the_filter_lets_pass_what_its_name_says() -> None:
    only_shop = RequestIDFilter("shop")
    assert only_shop.filter(logging.makeLogRecord({"name": "shop.cart"})) is True
    assert only_shop.filter(logging.makeLogRecord({"name": "bank"})) is False


def test_structlog_events_get_the_id(request_id: str) -> None:
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream), processors=[add_request_id, structlog.processors.JSONRenderer()]
    )
    logger.info("sold", item=7)
    logger.info("sold", request_id="own")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {"event": "sold", "item": 7, "request_id": request_id}
    assert second["request_id"] == "own"


def test_outside_of_a_request_structlog_events_stay_as_they_are() -> None:
    assert add_request_id(None, "info", {"event": "sold"}) == {"event": "sold"}


def test_structlog_through_logging_writes_our_lines(path: Path, request_id: str) -> None:
    setup(file=path)
    logger = structlog.wrap_logger(
        logging.getLogger("shop"),
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logger.info("sold", item=7)
    (line,) = lines(path)
    assert (line["message"], line["item"], line["request_id"], line["logger"]) == ("sold", 7, request_id, "shop")


def test_the_documented_loguru_patcher(path: Path, request_id: str) -> None:
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "patcher" in code)
    exec(code, {"loguru": loguru})
    sink = loguru.logger.add(path, format="{extra[request_id]} {message}")
    loguru.logger.info("from loguru")
    loguru.logger.remove(sink)
    loguru.logger.configure(patcher=lambda _: None)
    assert path.read_text() == f"{request_id} from loguru\n"


def test_loguru_may_hand_its_records_to_our_handler(path: Path, request_id: str) -> None:
    sink = loguru.logger.add(JSONHandler(path), format="{message}")
    loguru.logger.bind(item=7).info("from loguru")
    loguru.logger.remove(sink)
    (line,) = lines(path)
    assert (line["message"], line["request_id"]) == ("from loguru", request_id)
    assert line["extra"] == {"item": 7}
