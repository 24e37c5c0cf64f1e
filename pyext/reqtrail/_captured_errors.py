"""`reqtrail.capture_exception`: exceptions that an application handles, and wants to hear of all the same."""

import logging
import sys

from reqtrail._faults import report_fault
from reqtrail._native import count_captured_error
from reqtrail._request_log import error_message, mark_captured

_logger = logging.getLogger("reqtrail.error")
_TAKEN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


def capture_exception(error: BaseException | None = None, /, **extra: object) -> None:
    """Log and count an exception that you handle yourself.

    It leaves one record at level ERROR on the logger `reqtrail.error`, with the traceback, and in a request one count
    in `<namespace>_errors_total` with status_code="handled". Raised again, it is not logged a second time. Never
    raises.

    Args:
        error: The exception; None is the one that is being handled.
        extra: More fields of the log line, by name.
    """
    try:
        captured = sys.exc_info()[1] if error is None else error
        if not isinstance(captured, BaseException):
            raise TypeError("capture_exception() takes an exception, or is called where one is being handled")
        _log(captured, extra)
        mark_captured(captured)
    except Exception as fault:
        report_fault("capture_exception", fault)


def _log(error: BaseException, extra: dict[str, object]) -> None:
    error_type = type(error).__name__
    place = count_captured_error(error_type)
    fields = {f"extra_{name}" if name in _TAKEN else name: value for name, value in extra.items()}
    fields.update(error_type=error_type, error_message=error_message(error))
    if place is not None:
        fields.update(method=place[0], endpoint=place[1])
    where = "" if place is None else f"{place[0]} {place[1]}: "
    _logger.error(
        "%scaptured %s",
        where,
        error_type,
        exc_info=(type(error), error, error.__traceback__),
        extra=fields,
        stacklevel=3,  # the caller of capture_exception
    )
