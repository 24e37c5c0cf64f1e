"""What `reqtrail.install` does to one Starlette or FastAPI application, and how it is undone."""

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from reqtrail import metrics
from reqtrail._http_options import IdOptions, RecordOptions
from reqtrail._native import CorrelationIDMiddleware, make_recorder
from reqtrail._request_log import access_lines, access_logger, is_cancellation, log_access, log_error
from reqtrail._route_template import RouteTemplates
from reqtrail.context import get_request_id

if TYPE_CHECKING:
    from reqtrail._native import Recorder


async def unhandled_error_response(request: Request, _error: Exception) -> Response:
    """Answer an exception that nobody handled."""
    id_ = getattr(request.state, "request_id", None)  # what fails may have set another in its context
    body = {"detail": "Internal server error", "request_id": id_ if isinstance(id_, str) else get_request_id()}
    return JSONResponse(body, status_code=500)


async def _metrics_response(request: Request) -> Response:
    body, content_type = metrics.render(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


def recorder_of(app: Starlette, segment: metrics.Segment, options: RecordOptions) -> "Recorder":
    """Return a recorder of the requests of `app` that counts in `segment`.

    Raises ValueError for a namespace that no metric name begins with, and for buckets that are not those of `segment`.
    """
    return make_recorder(
        segment,
        **options._asdict(),
        route_template=RouteTemplates(app.router).of,
        is_cancellation=is_cancellation,
        on_error=log_error,
        access_logger=access_logger,
        access_attributes=access_lines.attributes(),
        on_access=log_access,
    )


class Installation:
    """The middleware around one application. It takes hold when the application builds its middleware stack, so that
    routes and exception handlers that are added after `install` still come first.
    """

    def __init__(
        self,
        app: Starlette,
        *,
        recorder: "Recorder",
        metrics_path: str | None,
        ids: IdOptions,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._metrics_path = metrics_path
        self._ids = ids
        self._metrics_route: BaseRoute | None = None
        self._build_inner = app.build_middleware_stack
        self._installed = True
        app.build_middleware_stack = self._build  # type: ignore[method-assign]  # Starlette has no other outermost place

    def remove(self) -> None:
        """Give the application its own middleware stack back; it is built anew at the next request."""
        self._installed = False
        if self._app.__dict__.get("build_middleware_stack") == self._build:
            del self._app.__dict__["build_middleware_stack"]
        if self._metrics_route is not None and self._metrics_route in self._app.router.routes:
            self._app.router.routes.remove(self._metrics_route)
        self._app.middleware_stack = None

    def _build(self) -> ASGIApp:
        if not self._installed:
            return self._build_inner()  # somebody wrapped this wrapper: it stays, and does nothing
        self._add_metrics_route()
        application = self._build_with_error_handler()
        # `install` has asked the environment.
        return CorrelationIDMiddleware(application, **self._ids, enabled=True, _recorder=self._recorder)

    def _build_with_error_handler(self) -> ASGIApp:
        handlers = self._app.exception_handlers
        if Exception in handlers or 500 in handlers:
            return self._build_inner()
        handlers[Exception] = unhandled_error_response
        try:
            return self._build_inner()
        finally:
            del handlers[Exception]

    def _add_metrics_route(self) -> None:
        routes = self._app.router.routes
        if self._metrics_path is None or self._metrics_route is not None or self._metrics_path in _paths(routes):
            return
        self._metrics_route = Route(self._metrics_path, _metrics_response, include_in_schema=False)
        routes.insert(0, self._metrics_route)  # before a catch-all route or a mount at "/"


def _paths(routes: list[BaseRoute]) -> set[Any]:
    paths = {getattr(route, "path", None) for route in routes}
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)  # a router that FastAPI included
        if callable(contexts):
            paths |= {getattr(context, "path", None) for context in contexts()}
    return paths
