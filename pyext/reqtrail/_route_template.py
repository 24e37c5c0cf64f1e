"""The route template of a request: the only form in which a path may become the label of a metric."""

from collections.abc import Iterable, MutableMapping
from typing import Any

UNMATCHED = "__unmatched__"

_MAX_KNOWN_ENDPOINTS = 4096
_paths_of_endpoints: dict[Any, str] = {}


def route_template(scope: MutableMapping[str, Any], root_path: str | None) -> str:
    """Return the template of the route that the router chose, with the prefixes of mounts and included routers.

    `scope` is the ASGI scope after the application ran, `root_path` what its "root_path" was before. The router is not
    asked again: only what it left in the scope is read. `__unmatched__` when no route was found.
    """
    prefix = _mount_prefix(scope, root_path or "")
    path = _path_of_route(scope)
    return UNMATCHED if path is None else (prefix + path) or "/"


def _path_of_route(scope: MutableMapping[str, Any]) -> str | None:
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
        return _path_of_endpoint(scope, endpoint)
    if isinstance(fastapi, dict) and isinstance(fastapi.get("frontend_path"), str):
        return _path_of_frontend(scope, fastapi["frontend_path"])
    return None


def _path_attribute(route: Any) -> str | None:
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _is_mount(route: Any) -> bool:
    return hasattr(route, "app") and hasattr(route, "routes") and not hasattr(route, "endpoint")


def _endpoint_of(route: Any) -> Any:
    return route.app if _is_mount(route) else getattr(route, "endpoint", None)


def _path_of_endpoint(scope: MutableMapping[str, Any], endpoint: Any) -> str | None:
    # FastAPI leaves only the endpoint of plain Starlette routes and mounts: /docs, /openapi.json, add_route().
    try:
        known = _paths_of_endpoints.get(endpoint)
    except TypeError:
        return None  # not hashable
    if known is not None:
        return known
    routes = getattr(scope.get("app"), "routes", ())
    found = {path for route in _flat(routes) if _endpoint_of(route) is endpoint and (path := _own_path(route))}
    if len(found) != 1:
        return None if not found else "|".join(sorted(found))
    path = found.pop()
    if len(_paths_of_endpoints) < _MAX_KNOWN_ENDPOINTS:
        _paths_of_endpoints[endpoint] = path
    return path


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


def _mount_prefix(scope: MutableMapping[str, Any], root_path: str) -> str:
    prefix = str(scope.get("root_path", ""))
    if prefix == root_path:
        return ""
    if not prefix.startswith(root_path):
        return ""  # an application inside set a root_path of its own: it is no part of the route
    prefix = prefix[len(root_path) :]
    params = scope.get("path_params")
    of_route = _route_parameters(scope)
    of_mounts = {str(value): name for name, value in params.items() if name not in of_route} if params else {}
    if not of_mounts:
        return prefix
    segments = [f"{{{of_mounts[part]}}}" if part in of_mounts else part for part in prefix.split("/")]
    if sum(part.startswith("{") for part in segments) != len(of_mounts):
        return "/{mount}"  # a converter changed the text, or took several segments: the raw path must not leak
    return "/".join(segments)


def _route_parameters(scope: MutableMapping[str, Any]) -> frozenset[str]:
    convertors = getattr(scope.get("route"), "param_convertors", None)
    return frozenset(convertors) if isinstance(convertors, dict) else frozenset()
