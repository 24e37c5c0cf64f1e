"""The lines that a request leaves in the log: one for its end, one more with the traceback when it failed."""

import logging
import sys

from reqtrail._line_kind import LineKind
from reqtrail.context import get_request_id

access_logger = logging.getLogger("reqtrail.access")
_error_logger = logging.getLogger("reqtrail.error")
_SERVER_LOGGERS = ("uvicorn.error", "gunicorn.error", "hypercorn.error")
_MARK = "_reqtrail_logged"
_CAPTURED = "_reqtrail_captured"
# By module and name: what is not imported yet has not been raised either.
_DISCONNECT = (("starlette.requests", "ClientDisconnect"),)
_CANCELLATIONS = (("builtins", "GeneratorExit"), ("asyncio", "CancelledError"), ("trio", "Cancelled"))
_GROUPS = (("builtins", "BaseExceptionGroup"), ("exceptiongroup", "BaseExceptionGroup"))  # the latter in Python 3.10


def log_access(method: str, endpoint: str, status_code: int, seconds: float) -> None:
    """Write the access line of a request that ended; `seconds` is its duration."""
    if access_logger.isEnabledFor(logging.INFO):
        fields = {"method": method, "endpoint": endpoint, "status_code": status_code, "duration": seconds}
        access_lines.log((method, endpoint, status_code), fields)


access_lines = LineKind(access_logger, log_access, "%s %s %d")


def log_error(
    error: BaseException, endpoint: str, method: str, status_code: int, seconds: float, found_id: str | None
) -> str | None:
    """Write the error line of an unhandled exception and return the type under which it is counted.

    None, and no line, when the exception only says that the client went away. `found_id` is the id that the request
    has left in the context, where that is another than its own.
    """
    if _is_one_of(_DISCONNECT, error):
        return None
    error_type = type(error).__name__
    if _is_captured(error, found_id):
        _put(error, _MARK, True)
    elif _error_logger.isEnabledFor(logging.ERROR):
        _error_logger.error(
            "%s %s %d: unhandled %s",
            method,
            endpoint,
            status_code,
            error_type,
            exc_info=(type(error), error, error.__traceback__),
            extra={
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "duration": seconds,
                "error_type": error_type,
                "error_message": error_message(error),
            },
        )
        _put(error, _MARK, True)
    return error_type


def mark_captured(error: BaseException) -> None:
    """Keep `log_error` from logging an exception again that this request has captured."""
    _put(error, _CAPTURED, get_request_id())


def _is_captured(error: BaseException, found_id: str | None) -> bool:
    try:
        by = error.__dict__.get(_CAPTURED)
    except Exception:
        return False
    return by is not None and by in (get_request_id(), found_id)  # another request may raise the same instance


def is_cancellation(error: BaseException) -> bool:
    """Return whether an exception only says that nobody waits any more: a cancellation, or a group of nothing else."""
    if _is_one_of(_GROUPS, error):
        return all(map(is_cancellation, error.exceptions))  # type: ignore[attr-defined]  # Python 3.10 knows no groups
    return _is_one_of(_CANCELLATIONS, error)


def _is_one_of(classes: tuple[tuple[str, str], ...], error: BaseException) -> bool:
    found = (getattr(sys.modules.get(module), name, None) for module, name in classes)
    return any(isinstance(class_, type) and isinstance(error, class_) for class_ in found)


def error_message(error: BaseException) -> str:
    """Return the text of an exception, also of one that cannot be printed."""
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose __str__ failed>"


def _put(error: BaseException, name: str, value: object) -> None:
    try:
        BaseException.__setattr__(error, name, value)
    except Exception:
        return


class _AlreadyLogged(logging.Filter):
    """Drops a server's record about an exception that has an error line already."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is None or _MARK not in getattr(error, "__dict__", ()):
            return True
        BaseException.__delattr__(error, _MARK)  # an instance may be raised again, by something that nobody logged
        return False


_already_logged = _AlreadyLogged()


def drop_duplicates_of_servers() -> None:
    """Keep ASGI servers from logging an exception again that `log_error` has logged."""
    for name in _SERVER_LOGGERS:
        logging.getLogger(name).addFilter(_already_logged)


def allow_duplicates_of_servers() -> None:
    """Undo `drop_duplicates_of_servers`."""
    for name in _SERVER_LOGGERS:
        logging.getLogger(name).removeFilter(_already_logged)
