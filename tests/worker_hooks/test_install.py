import contextvars
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app, signals

import reqtrail
import reqtrail.logging
from tests.worker_hooks import worker_app

SIGNALS = (
    signals.before_task_publish,
    signals.after_task_publish,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_failure,
    signals.task_received,
    signals.task_revoked,
    signals.setup_logging,
)


@pytest.fixture(autouse=True)
def nothing_installed() -> Iterator[None]:
    """Celery's signals are of the process: put back what importing the worker's application installed."""
    reqtrail.celery.uninstall(worker_app.app)
    yield
    reqtrail.celery.install(worker_app.app)


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", backend="cache+memory://")
    made.conf.task_always_eager = True
    yield made
    reqtrail.celery.uninstall(made)


def receivers() -> list[int]:
    return [len(signal.receivers) for signal in SIGNALS]


def add_look(app: Celery) -> Any:
    @app.task  # type: ignore[untyped-decorator]  # Celery ships no types
    def look() -> str | None:
        return reqtrail.get_request_id()

    return look


def test_installing_twice_is_installing_once_and_uninstall_takes_it_all_back(app: Celery) -> None:
    before = receivers()
    reqtrail.celery.install(app)
    reqtrail.celery.install(app)
    assert receivers() == [count + 1 for count in before]
    reqtrail.celery.uninstall(app)
    assert receivers() == before
    reqtrail.celery.uninstall(app)
    assert receivers() == before
    assert not [each for each in logging.getLogger("celery.app.trace").filters if "reqtrail" in type(each).__module__]


def test_celery_sets_up_its_own_logs_when_asked_to(app: Celery) -> None:
    before = len(signals.setup_logging.receivers)
    reqtrail.celery.install(app, json_logs=False)
    assert len(signals.setup_logging.receivers) == before


def test_one_application_of_two_stays_installed(app: Celery) -> None:
    other = Celery("other")
    reqtrail.celery.install(app)
    reqtrail.celery.install(other)
    before = receivers()
    reqtrail.celery.uninstall(other)
    assert receivers() == before


def test_tasks_of_an_application_that_is_not_installed_are_left_alone(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    reqtrail.celery.install(app)
    other = Celery("other")
    with caplog.at_level(logging.INFO):
        assert add_look(other).apply().get() is None
        assert add_look(app).apply().get() is not None
    assert [record.__dict__["task"] for record in caplog.records if record.name == "reqtrail.task"] == [
        f"{__name__}.look"
    ]
    assert [record.message for record in caplog.records if "succeeded" in record.message]


def test_an_eager_task_leaves_its_callers_id_untouched(app: Celery) -> None:
    reqtrail.celery.install(app)
    look = add_look(app)
    token = reqtrail.set_request_id("caller")
    try:
        assert look.delay().get() == "caller"
        assert reqtrail.get_request_id() == "caller"
    finally:
        reqtrail.reset_request_id(token)
    assert look.delay().get() is not None
    assert reqtrail.get_request_id() is None


def test_disabled_by_the_environment_it_does_nothing(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    before = receivers()
    reqtrail.celery.install(app)
    assert receivers() == before


@pytest.mark.parametrize("value", [None, "shop", Celery, object()])
def test_what_is_no_application_is_a_type_error_that_says_what_is_right(value: Any) -> None:
    for function in (reqtrail.celery.install, reqtrail.celery.uninstall):
        with pytest.raises(TypeError, match="app is a Celery application, not"):
            function(value)


def test_the_proxy_of_the_current_application_will_do(app: Celery) -> None:
    app.set_current()
    before = receivers()
    reqtrail.celery.install(current_app)
    assert receivers() != before
    reqtrail.celery.uninstall(app)
    assert receivers() == before


@pytest.mark.parametrize("name", ["enter_task", "task_seconds", "leave_task"])
def test_a_fault_of_a_hook_never_reaches_the_task(
    app: Celery, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    reqtrail.celery.install(app)
    monkeypatch.setattr(reqtrail.celery, name, fault)
    monkeypatch.setattr("reqtrail._faults._logged", set())
    look = add_look(app)
    for _ in range(3):  # in a context of its own, because a task that is never left keeps its id there
        assert contextvars.copy_context().run(look.apply).state == "SUCCESS"
    told = [record for record in caplog.records if record.name == "reqtrail"]
    assert len(told) == 1


def test_a_worker_writes_json_to_its_logfile(app: Celery, tmp_path: Any) -> None:
    reqtrail.celery.install(app)
    logfile = tmp_path / "worker.log"
    try:
        signals.setup_logging.send(sender=None, loglevel=logging.INFO, logfile=str(logfile))
        logging.getLogger("shop").info("hello")
    finally:
        reqtrail.logging.reset()
    assert '"message":"hello","origin":"worker"' in logfile.read_text()
