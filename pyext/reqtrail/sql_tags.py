"""What the tags in SQL comments say: the route of the request, the name of the task."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from reqtrail._route_template import UNMATCHED, RouteTemplates

__all__ = ["SOURCES", "RouteMiddleware", "route", "task"]

_Scope = MutableMapping[str, Any]
_App = Callable[[Any, Any, Any], Awaitable[None]]

_request: ContextVar[tuple[RouteTemplates, _Scope, str] | None] = ContextVar("reqtrail_sql_route", default=None)


class RouteMiddleware:
    """ASGI middleware that makes the tag "route" known: `app.add_middleware(reqtrail.sql_tags.RouteMiddleware)`.

    Any number of requests at once may run through it.
    """

    def __init__(self, app: _App) -> None:
        """Wrap `app`."""
        self._app = app
        self._templates: RouteTemplates | None = None

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self._templates is None:
            self._templates = RouteTemplates(getattr(scope.get("app"), "router", None))
        token = _request.set((self._templates, scope, str(scope.get("root_path", ""))))
        try:
            await self._app(scope, receive, send)
        finally:
            _request.reset(token)


def route() -> str | None:
    """Return the template of the current request's route, such as "/items/{id}", or None when there is none."""
    request = _request.get()
    if request is None:
        return None
    templates, scope, root_path = request
    found = templates.of(scope, root_path)
    return None if found == UNMATCHED else found


def task() -> str | None:
    """Return the name of the Celery task that runs, or None when none does."""
    celery_state = sys.modules.get("celery._state")
    current = None if celery_state is None else celery_state.get_current_task()
    name = getattr(current, "name", None)
    return name if isinstance(name, str) else None


SOURCES: dict[str, Callable[[], str | None]] = {"route": route, "task": task}
"""The built-in tags."""
