"""The route template of a request: the only form in which a path may become the label of a metric."""

from collections.abc import Iterable, MutableMapping
from typing import Any

UNMATCHED = "__unmatched__"

_MAX_KNOWN = 4096


class RouteTemplates:
    """Finds the templates of one application's requests. What it has found it keeps; any thread may use it."""

    def __init__(self, router: Any) -> None:
        """Look for mounts in `router`, the application's outermost one."""
        self._router = router
        self._endpoints: dict[Any, str] = {}
        self._mounts: dict[str, str] = {}

    def of(self, scope: MutableMapping[str, Any], root_path: str | None) -> str:
        """Return the template of the route that was chosen, with the prefixes of mounts and included routers.

        `scope` is the ASGI scope after the application ran, `root_path` what its "root_path" was before. The router is
        not asked again which route it is: that is read from the scope. `__unmatched__` when no route was found.
        """
        path = self._path_of_route(scope)
        return UNMATCHED if path is None else (self._mount_prefix(scope, root_path or "") + path) or "/"

    def _path_of_route(self, scope: MutableMapping[str, Any]) -> str | None:
        endpoint = scope.get("endpoint")
        route = scope.get("route")
        fastapi = scope.get("fastapi")
        context = fastapi.get("effective_route_context") if isinstance(fastapi, dict) else None
        if context is not None and (route is None or getattr(context, "original_route", None) is route):
            # The route came by include_router: its own path lacks the router's prefix.
            return _path_attribute(getattr(context, "starlette_route", None)) or _path_attribute(context)
        if route is not None and (endpoint is None or _endpoint_of(route) is endpoint):
            # A mount's own prefix is already in root_path.
            return "/{path}" if _is_mount(route) else _path_attribute(route)
        if endpoint is not None:
            return self._path_of_endpoint(scope, endpoint)
        if isinstance(fastapi, dict) and isinstance(fastapi.get("frontend_path"), str):
            return _path_of_frontend(scope, fastapi["frontend_path"])
        return None

    def _path_of_endpoint(self, scope: MutableMapping[str, Any], endpoint: Any) -> str | None:
        # FastAPI leaves only the endpoint of plain Starlette routes and mounts: /docs, /openapi.json, add_route().
        try:
            known = self._endpoints.get(endpoint)
        except TypeError:
            return None  # not hashable
        if known is not None:
            return known
        routes = getattr(scope.get("app"), "routes", ())
        found = {path for route in _flat(routes) if _endpoint_of(route) is endpoint and (path := _own_path(route))}
        if len(found) != 1:
            return None if not found else "|".join(sorted(found))
        path = found.pop()
        if len(self._endpoints) < _MAX_KNOWN:
            self._endpoints[endpoint] = path
        return path

    def _mount_prefix(self, scope: MutableMapping[str, Any], root_path: str) -> str:
        root_path_now = str(scope.get("root_path", ""))
        # An application inside that sets a root_path of its own was not mounted by that.
        prefix = root_path_now[len(root_path) :] if root_path_now.startswith(root_path) else ""
        if not prefix:
            return ""
        known = self._mounts.get(prefix)
        if known is None:
            known = _template_of_mounts(getattr(self._router, "routes", ()), prefix)
            if known is None:
                return "/{mount}"  # the prefix holds parameters' values: it must not leak
            if len(self._mounts) < _MAX_KNOWN:
                self._mounts[prefix] = known
        return known


def _path_attribute(route: Any) -> str | None:
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _is_mount(route: Any) -> bool:
    return hasattr(route, "app") and hasattr(route, "routes") and not hasattr(route, "endpoint")


def _endpoint_of(route: Any) -> Any:
    return route.app if _is_mount(route) else getattr(route, "endpoint", None)


def _own_path(route: Any) -> str | None:
    return "/{path}" if _is_mount(route) else _path_attribute(route)


def _flat(routes: Iterable[Any]) -> Iterable[Any]:
    for route in routes:
        yield route
        # Not into applications: they have routes of their own, and the scope's "app" is the innermost one.
        if _is_mount(route) and type(route.app).__name__ in ("Router", "APIRouter"):
            yield from _flat(route.routes)


def _path_of_frontend(scope: MutableMapping[str, Any], frontend_path: str) -> str:
    path = str(scope.get("path", ""))
    before = path[: len(path) - len(frontend_path)] if path.endswith(frontend_path) else ""
    return before.rstrip("/") + "/{path}"


def _template_of_mounts(routes: Iterable[Any], prefix: str) -> str | None:
    for route in _mounts(routes):
        found = route.path_regex.match(prefix + "/")
        if found is None:
            continue
        template: str = route.path_format.removesuffix("/{path}")
        rest = "/" + found["path"].rstrip("/")
        if rest == "/":
            return template
        inner = _template_of_mounts(route.routes, rest)
        if inner is not None:
            return template + inner
    return None


def _mounts(routes: Iterable[Any]) -> Iterable[Any]:
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if _is_mount(route) and hasattr(route, "path_regex"):
            yield route
        elif hasattr(route, "host"):
            yield from _mounts(route.routes)
        elif callable(contexts):  # a router that FastAPI included
            yield from _mounts(context.starlette_route for context in contexts())
