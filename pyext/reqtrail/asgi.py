"""The request id at the HTTP edge: the middleware, and `install` for a whole Starlette or FastAPI application."""

import sys
from collections.abc import Callable, Iterable
from logging import Logger
from typing import TYPE_CHECKING, Any

from reqtrail import _installations
from reqtrail._enabled import enabled as is_enabled
from reqtrail._faults import faults_total
from reqtrail._http_options import METRICS, IdOptions, RecordOptions, check_bool, check_metrics_path, record_options
from reqtrail._native import CorrelationIDMiddleware, set_asgi_marker

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from reqtrail._installation import Installation

__all__ = ["CorrelationIDMiddleware", "install", "uninstall"]

_INSTALLATION = "_reqtrail_installation"


async def _call(self: CorrelationIDMiddleware, scope: Any, receive: Any, send: Any) -> None:
    await self(scope, receive, send)


set_asgi_marker(_call)


def install(
    app: "Starlette",
    *,
    celery: Any = None,
    engine: Any = None,
    enabled: bool = True,
    service: str | None = None,
    metrics_dir: str | None = None,
    metrics_path: str | None = "/metrics",
    log_level: str | None = "INFO",
    header_name: str = "X-Request-ID",
    update_request_header: bool = True,
    generator: Callable[[], str] | None = None,
    validator: Callable[[str], object] | None = None,
    transformer: Callable[[str], str] | None = None,
    trust_incoming: bool | Callable[[Any], object] = True,
    expose_cors: bool = False,
    logger: Logger | str | None = None,
    namespace: str = "commandcenter",
    metrics: Iterable[str] = METRICS,
    buckets: Iterable[float] | None = None,
    group_status_codes: bool = False,
    count_4xx: bool = False,
    skip_paths: Iterable[str] = (),
    excluded_handlers: Iterable[str] = (),
) -> None:
    """Follow the requests of a Starlette or FastAPI application: ids, metrics, errors and log lines.

    Call it before the application serves its first request; a second call adds only `celery` and `engine`. Does nothing
    when the environment says REQTRAIL_ENABLED=false. docs/http.md says more about each option.

    Args:
        app: The application.
        celery: A Celery application whose tasks carry the id on (`reqtrail.celery.install`).
        engine: A SQLAlchemy engine, async or not, that tells PostgreSQL the id (`reqtrail.sqlalchemy.install`).
        enabled: False does nothing, like REQTRAIL_ENABLED=false.
        service: The name of the metrics segment (`reqtrail.metrics.open_segment`).
        metrics_dir: The folder of the metrics segment.
        metrics_path: Where metrics are served, unless the application has a route there; None serves none.
        log_level: For `reqtrail.logging.setup`; None leaves logging alone.
        header_name: As of `CorrelationIDMiddleware`; also `update_request_header`, `generator`, `validator`,
            `transformer`, `trust_incoming`, `expose_cors` and `logger`.
        namespace: The prefix of `<namespace>_errors_total`.
        metrics: Which metrics to record: "requests", "duration", "inprogress" and "errors".
        buckets: The upper bounds of the duration's buckets in seconds, ascending; None: those of prometheus_client.
        group_status_codes: Count requests by "2xx", "4xx" and so on in place of the status.
        count_4xx: Count answers from 400 on as errors, not only from 500 on.
        skip_paths: Regular expressions; a request whose whole path matches one has an id, but no metrics and no access
            line.
        excluded_handlers: The same for requests whose route template has a match in it.

    Raises:
        TypeError: `app` is no application; an argument of the wrong type.
        RuntimeError: It has begun to serve.
        ValueError: An argument out of range; `buckets` that differ from those of a process that serves already.
        OSError: The metrics segment cannot be opened.
        After each of these `app` is as it was before.
    """
    if not check_bool("enabled", enabled) or not is_enabled():
        return
    _check(app)
    is_new = _INSTALLATION not in vars(app)
    if is_new:
        if app.middleware_stack is not None:
            raise RuntimeError("this application has begun to serve: call reqtrail.install(app) where app is made")
        records = record_options(
            namespace=namespace,
            buckets=buckets,
            metrics=metrics,
            group_status_codes=group_status_codes,
            count_4xx=count_4xx,
            excluded_handlers=excluded_handlers,
            skip_paths=skip_paths,
        )
        ids: IdOptions = {
            "header_name": header_name,
            "update_request_header": update_request_header,
            "generator": generator,
            "validator": validator,
            "transformer": transformer,
            "trust_incoming": trust_incoming,
            "expose_cors": expose_cors,
            "logger": logger,
        }
        installation = _new_installation(app, service, metrics_dir, metrics_path, ids, records)
        setattr(app, _INSTALLATION, installation)
        _installations.enter(installation)
    try:
        _install_the_rest(celery, engine, log_level if is_new else None)
    except BaseException:
        if is_new:
            uninstall(app)
        raise


def _install_the_rest(celery: Any, engine: Any, log_level: str | None) -> None:
    if log_level is not None:
        from reqtrail import logging

        logging.setup_unless_done(log_level)
    if celery is not None:
        from reqtrail import celery as celery_hooks

        celery_hooks.install(celery)
    if engine is not None:
        from reqtrail import sqlalchemy as sqlalchemy_hooks

        sqlalchemy_hooks.install(engine)


def uninstall(app: "Starlette") -> None:
    """Undo what `install` did to `app`; without an installation it does nothing.

    Celery, engines and logging stay as they are: they may serve others, and have an `uninstall` of their own. After the
    last installation the servers' own lines about requests and exceptions are written again. The application builds its
    middleware stack anew at the next request.
    """
    _check(app)
    installation = vars(app).pop(_INSTALLATION, None)
    if installation is not None:
        installation.remove()
        _installations.leave(installation)


def _new_installation(
    app: "Starlette",
    service: str | None,
    metrics_dir: str | None,
    metrics_path: str | None,
    ids: IdOptions,
    records: RecordOptions,
) -> "Installation":
    from reqtrail import metrics
    from reqtrail._installation import Installation, recorder_of

    check_metrics_path(metrics_path)
    CorrelationIDMiddleware(app, **ids)  # raises now, not at the first request
    segment = metrics.open_segment(service=service, directory=metrics_dir)
    faults_total()  # raises now, where other processes have a metric of that name that is another one
    return Installation(app, recorder=recorder_of(app, segment, records), metrics_path=metrics_path, ids=ids)


def _check(app: object) -> None:
    applications = sys.modules.get("starlette.applications")
    if applications is None or not isinstance(app, applications.Starlette):
        raise TypeError(
            f"app must be a Starlette or FastAPI application, not {type(app).__name__}; "
            "wrap any other ASGI application by hand: reqtrail.CorrelationIDMiddleware(app)"
        )
