from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from logging import LogRecord
from typing import Any, final

from typing_extensions import Self

__version__: str
request_id_var: ContextVar[str]

class RecordFormatter:
    def configure(self, origin: str, ascii_only: bool, /) -> None: ...
    def format(self, record: LogRecord, /) -> str: ...

def is_request_id(id: str) -> bool: ...
def request_id_fault(id: str) -> str: ...
def generate_uuid4() -> str: ...

LATENCY_BUCKETS: tuple[float, ...]

class Segment:
    def __init__(
        self,
        service: str = "reqtrail",
        directory: str = "",
        *,
        capacity_bytes: int = 67108864,
        max_series: int = 10000,
    ) -> None: ...
    def render(self, accept: str = "") -> tuple[bytes, str]: ...
    @property
    def path(self) -> str: ...
    @property
    def series(self) -> int: ...
    @property
    def series_dropped(self) -> int: ...
    @property
    def set_aside(self) -> int: ...
    @property
    def max_series(self) -> int: ...

class Counter:
    def __new__(
        cls, name: str, documentation: str, labelnames: tuple[str, ...], buckets: tuple[float, ...], /
    ) -> Self: ...
    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self: ...
    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None: ...
    def _bind(self, segment: Segment, /) -> None: ...

class Histogram:
    def __new__(
        cls, name: str, documentation: str, labelnames: tuple[str, ...], buckets: tuple[float, ...], /
    ) -> Self: ...
    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self: ...
    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None: ...
    def _bind(self, segment: Segment, /) -> None: ...

# ---- ASGI ----

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

@final
class Recorder: ...

@final
class CorrelationIDMiddleware:
    @property
    def app(self) -> Callable[[Any, Any, Any], Awaitable[None]]: ...
    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        header_name: str = "X-Request-ID",
        *,
        generator: Callable[[], str] | None = None,
        _recorder: Recorder | None = None,
    ) -> None: ...
    def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> Awaitable[None]: ...

def make_recorder(
    segment: Segment,
    *,
    errors_namespace: str,
    access_levels: dict[int, bool],
    route_template: Callable[[_Scope, str | None], str],
    on_error: Callable[[Exception, str, str, int, float], str | None],
    on_access: Callable[[str, str, int, float], None],
) -> Recorder: ...
def set_asgi_marker(function: Callable[..., Awaitable[None]]) -> None: ...
def set_fault_handler(handler: Callable[[str, BaseException | None], None]) -> None: ...
