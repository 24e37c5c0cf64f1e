"""The request id at the HTTP edge: the middleware, and `install` for a whole Starlette or FastAPI application."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import reqtrail._faults as _faults
from reqtrail._enabled import enabled
from reqtrail._native import CorrelationIDMiddleware, set_asgi_marker
from reqtrail._request_log import drop_duplicates_of_servers

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
    service: str | None = None,
    metrics_dir: str | None = None,
    namespace: str = "commandcenter",
    metrics_path: str | None = "/metrics",
    log_level: str | None = "INFO",
    header_name: str = "X-Request-ID",
    generator: Callable[[], str] | None = None,
) -> None:
    """Follow the requests of a Starlette or FastAPI application: ids, metrics, errors and log lines.

    celery: a Celery application whose tasks carry the id on (`reqtrail.celery.install`).
    engine: a SQLAlchemy engine, async or not, that tells PostgreSQL the id (`reqtrail.sqlalchemy.install`).
    service, metrics_dir: the name and folder of the metrics segment (`reqtrail.metrics.open_segment`).
    namespace: the prefix of `<namespace>_errors_total`.
    metrics_path: where metrics are served, unless the application has a route there; None serves none.
    log_level: for `reqtrail.logging.setup`; None leaves logging alone.
    header_name, generator: as in `CorrelationIDMiddleware`.

    Call it before the application serves its first request; a second call adds only `celery` and `engine`. Does nothing
    when the environment says REQTRAIL_ENABLED=false.

    Raises TypeError for anything but an application, RuntimeError when it has begun to serve, ValueError for an
    argument out of range, OSError when the metrics segment cannot be opened. Then `app` is as it was before.
    """
    if not enabled():
        return
    _check(app)
    is_new = _INSTALLATION not in vars(app)
    if is_new:
        if app.middleware_stack is not None:
            raise RuntimeError("this application has begun to serve: call reqtrail.install(app) where app is made")
        installation = _new_installation(
            app,
            service,
            metrics_dir,
            namespace,
            metrics_path=metrics_path,
            header_name=header_name,
            generator=generator,
        )
        setattr(app, _INSTALLATION, installation)
        drop_duplicates_of_servers()
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

    Celery, engines and logging stay as they are: they may serve others, and have an `uninstall` of their own. The
    application builds its middleware stack anew at the next request.
    """
    _check(app)
    installation = vars(app).pop(_INSTALLATION, None)
    if installation is not None:
        installation.remove()


def _new_installation(
    app: "Starlette",
    service: str | None,
    metrics_dir: str | None,
    namespace: str,
    *,
    metrics_path: str | None,
    header_name: str,
    generator: Callable[[], str] | None,
) -> "Installation":
    from reqtrail import metrics
    from reqtrail._installation import Installation, recorder_of

    if metrics_path is not None and not metrics_path.startswith("/"):
        raise ValueError(f'metrics_path must begin with "/", not be {metrics_path!r}')
    CorrelationIDMiddleware(app, header_name, generator=generator)  # raises now, not at the first request
    segment = metrics.open_segment(service=service, directory=metrics_dir)
    _faults.count_faults_in(
        metrics.Counter("reqtrail_faults_total", "Faults of the instrument itself.", ("where",), segment=segment)
    )
    return Installation(
        app,
        recorder=recorder_of(app, segment, namespace),
        metrics_path=metrics_path,
        header_name=header_name,
        generator=generator,
    )


def _check(app: object) -> None:
    applications = sys.modules.get("starlette.applications")
    if applications is None or not isinstance(app, applications.Starlette):
        raise TypeError(
            f"app must be a Starlette or FastAPI application, not {type(app).__name__}; "
            "wrap any other ASGI application by hand: reqtrail.CorrelationIDMiddleware(app)"
        )
