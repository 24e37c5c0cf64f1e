"""Follows one request id from the HTTP edge through Celery into PostgreSQL."""

import importlib
from typing import TYPE_CHECKING, Any

from reqtrail._native import __version__, uuid7
from reqtrail.context import get_request_id, get_traceparent, reset_request_id, set_request_id

if TYPE_CHECKING:
    from reqtrail import (
        asgi,
        asyncpg,
        celery,
        logging,
        metrics,
        psycopg,
        psycopg2,
        sql_comment,
        sql_tags,
        sqlalchemy,
    )
    from reqtrail._captured_errors import capture_exception
    from reqtrail.asgi import CorrelationIDMiddleware, install, uninstall

__all__ = [
    "CorrelationIDMiddleware",
    "__version__",
    "asgi",
    "asyncpg",
    "capture_exception",
    "celery",
    "get_request_id",
    "get_traceparent",
    "install",
    "logging",
    "metrics",
    "psycopg",
    "psycopg2",
    "reset_request_id",
    "set_request_id",
    "sql_comment",
    "sql_tags",
    "sqlalchemy",
    "uninstall",
    "uuid7",
]

# On first use, so that a worker does not import Starlette, nor an API without tasks Celery.
_SUBMODULES = frozenset(
    {
        "asgi",
        "asyncpg",
        "celery",
        "logging",
        "metrics",
        "psycopg",
        "psycopg2",
        "sql_comment",
        "sql_tags",
        "sqlalchemy",
    }
)
_FROM_MODULE = {
    "CorrelationIDMiddleware": "asgi",
    "capture_exception": "_captured_errors",
    "install": "asgi",
    "uninstall": "asgi",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"reqtrail.{name}")
    if name in _FROM_MODULE:
        value = getattr(importlib.import_module(f"reqtrail.{_FROM_MODULE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'reqtrail' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
