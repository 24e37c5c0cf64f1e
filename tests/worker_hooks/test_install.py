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
    signals.worker_ready,
    signals.worker_shutdown,
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
    @app.task(shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
    def look() -> str | None:
        return reqtrail.get_request_id()

    app.finalize()
    return app.tasks[look.name]


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


class WithoutRequest:
    """What an application may have made of a task, and our hooks cannot work with."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    @property
    def request(self) -> Any:
        raise RuntimeError("a fault that the hook runs into")


def faults_told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "reqtrail"]


def test_a_fault_at_the_start_of_a_task_is_told_once_and_raised_never(
    app: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reqtrail.celery.install(app)
    monkeypatch.setattr("reqtrail._faults._logged", set())
    task = WithoutRequest(app)
    for signal in (signals.task_prerun, signals.task_prerun, signals.task_postrun):
        [(_, response)] = signal.send(sender=task, task=task, task_id="x", args=(), kwargs={}, state="SUCCESS")
        assert response is None
    assert faults_told(caplog) == ["reqtrail failed at: celery task start (logged once; requests are not affected)"]


def test_a_fault_while_a_task_is_logged_is_told_once_and_never_reaches_the_task(
    app: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: logging.LogRecord) -> bool:
        raise RuntimeError("a fault that the hook runs into")

    reqtrail.celery.install(app)
    monkeypatch.setattr("reqtrail._faults._logged", set())
    look = add_look(app)
    logger = logging.getLogger("reqtrail.task")
    logger.addFilter(fail)
    try:
        with caplog.at_level(logging.INFO):
            assert [look.apply().state for _ in range(3)] == ["SUCCESS"] * 3
    finally:
        logger.removeFilter(fail)
    assert faults_told(caplog) == ["reqtrail failed at: celery task line (logged once; requests are not affected)"]
    assert reqtrail.get_request_id() is None


def test_other_receivers_of_the_same_signals_are_called_as_ever(app: Celery) -> None:
    reqtrail.celery.install(app)
    seen = []

    def note(sender: Any = None, task_id: str = "", **named: Any) -> None:
        seen.append((sender, task_id, reqtrail.get_request_id() is not None, sorted(named)))

    look = add_look(app)
    look.apply(task_id="alone")
    signals.task_prerun.connect(note)
    try:
        assert look.apply(task_id="both").get() is not None
    finally:
        signals.task_prerun.disconnect(note)
    assert look.apply(task_id="alone again").get() is not None
    assert seen == [(app.tasks[look.name], "both", True, ["args", "kwargs", "signal", "task"])]


def test_uninstall_gives_the_signals_back_as_they_were(app: Celery) -> None:
    before = [vars(signal).get("send") for signal in SIGNALS]
    reqtrail.celery.install(app)
    assert [vars(signal).get("send") for signal in SIGNALS] != before
    reqtrail.celery.uninstall(app)
    assert [vars(signal).get("send") for signal in SIGNALS] == before
    assert not [step for steps in app.steps.values() for step in steps if "reqtrail" in step.__module__]


def test_what_kept_the_signals_way_to_send_calls_nobody_after_uninstall(app: Celery) -> None:
    reqtrail.celery.install(app)
    kept = signals.task_prerun.send
    reqtrail.celery.uninstall(app)
    assert kept(sender=None, task=None) == []


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        ({"metrics_port": 0}, "", "metrics_port is a port, 1 to 65535, not 0"),
        ({"metrics_port": 65536}, "", "metrics_port is a port, 1 to 65535, not 65536"),
        ({}, "http", "REQTRAIL_METRICS_PORT is a port, 1 to 65535, not 'http'"),
        ({"queue_depth_interval": 0}, "", "queue_depth_interval is a number of seconds above 0, or None, not 0"),
    ],
)
def test_a_bad_option_is_an_error_that_says_what_is_right(
    app: Celery, given: dict[str, Any], environment: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQTRAIL_METRICS_PORT", environment)
    before = receivers()
    with pytest.raises(ValueError, match=said):
        reqtrail.celery.install(app, **given)
    assert receivers() == before


def test_a_worker_writes_json_to_its_logfile(app: Celery, tmp_path: Any) -> None:
    reqtrail.celery.install(app)
    logfile = tmp_path / "worker.log"
    try:
        signals.setup_logging.send(sender=None, loglevel=logging.INFO, logfile=str(logfile))
        logging.getLogger("shop").info("hello")
    finally:
        reqtrail.logging.reset()
    assert '"message":"hello","origin":"worker"' in logfile.read_text()
