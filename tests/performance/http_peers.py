"""The middlewares that ours is measured beside: each as its documentation adds it, exporting nothing."""

import contextvars
import logging
import re
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_fastapi_instrumentator import Instrumentator
from pythonjsonlogger.json import JsonFormatter
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette_context.middleware import RawContextMiddleware
from starlette_context.plugins import RequestIdPlugin
from starlette_exporter import PrometheusMiddleware

Add = Callable[[FastAPI], None]
"""Adds one middleware to an application."""

_IS_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,128}").fullmatch
_request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id_by_hand", default=None)


def _asgi_correlation_id(app: FastAPI) -> None:
    app.add_middleware(CorrelationIdMiddleware)


def _starlette_context(app: FastAPI) -> None:
    app.add_middleware(RawContextMiddleware, plugins=(RequestIdPlugin(),))


async def _pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def _base_http_no_op(app: FastAPI) -> None:
    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)


class _ByHand:
    """Id, metrics and access line as people write them into a BaseHTTPMiddleware."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        labels = ("method", "handler")
        self._requests = Counter("http_requests", "Requests.", (*labels, "status"), registry=registry)
        self._duration = Histogram("http_request_duration_seconds", "Durations.", labels, registry=registry)
        self._logger = logging.Logger("by_hand")
        handler = logging.FileHandler("/dev/null")
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s %(module)s %(lineno)d"))
        self._logger.addHandler(handler)

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        given = request.headers.get("x-request-id", "")
        id_ = given if _IS_REQUEST_ID(given) else str(uuid.uuid4())
        token = _request_id.set(id_)
        started = time.perf_counter()
        try:
            response = await call_next(request)
        finally:
            _request_id.reset(token)
        seconds = time.perf_counter() - started
        response.headers["x-request-id"] = id_
        handler = request.scope["route"].path
        self._requests.labels(request.method, handler, response.status_code).inc(1, {"request_id": id_})
        self._duration.labels(request.method, handler).observe(seconds, {"request_id": id_})
        fields = {"method": request.method, "endpoint": handler, "status_code": response.status_code}
        self._logger.info("%s %s %d", *fields.values(), extra={**fields, "duration": seconds, "request_id": id_})
        return response


def _base_http_by_hand(app: FastAPI) -> None:
    app.add_middleware(BaseHTTPMiddleware, dispatch=_ByHand().dispatch)


def _instrumentator(app: FastAPI) -> None:
    Instrumentator(registry=CollectorRegistry()).instrument(app)


def _starlette_exporter(app: FastAPI) -> None:
    app.add_middleware(PrometheusMiddleware)


def _providers() -> tuple[TracerProvider, MeterProvider]:
    return TracerProvider(), MeterProvider([InMemoryMetricReader()])


def _opentelemetry_asgi(app: FastAPI) -> None:
    tracers, meters = _providers()
    app.add_middleware(OpenTelemetryMiddleware, tracer_provider=tracers, meter_provider=meters)


def _opentelemetry_fastapi(app: FastAPI) -> None:
    tracers, meters = _providers()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracers, meter_provider=meters)


def _named(package: str) -> str:
    return f"{package} {version(package)}"


ASGI_CORRELATION_ID = _named("asgi-correlation-id")
STARLETTE_CONTEXT = _named("starlette-context")
BASE_HTTP_NO_OP = f"BaseHTTPMiddleware no-op (Starlette {version('starlette')})"
BASE_HTTP_BY_HAND = "the same by hand in a BaseHTTPMiddleware"
INSTRUMENTATOR = _named("prometheus-fastapi-instrumentator")
STARLETTE_EXPORTER = _named("starlette-exporter")
OPENTELEMETRY_ASGI = _named("opentelemetry-instrumentation-asgi")
OPENTELEMETRY_FASTAPI = _named("opentelemetry-instrumentation-fastapi")

PEERS: dict[str, Add] = {
    ASGI_CORRELATION_ID: _asgi_correlation_id,
    STARLETTE_CONTEXT: _starlette_context,
    BASE_HTTP_NO_OP: _base_http_no_op,
    BASE_HTTP_BY_HAND: _base_http_by_hand,
    INSTRUMENTATOR: _instrumentator,
    STARLETTE_EXPORTER: _starlette_exporter,
    OPENTELEMETRY_ASGI: _opentelemetry_asgi,
    OPENTELEMETRY_FASTAPI: _opentelemetry_fastapi,
}
"""By name and version."""
