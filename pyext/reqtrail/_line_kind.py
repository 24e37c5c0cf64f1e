"""Log lines of one kind, whose records differ in arguments and extras alone."""

import logging
from collections.abc import Callable
from typing import Any


class LineKind:
    """The lines of level INFO that `function` writes by `logger`, with the message `text`."""

    def __init__(self, logger: logging.Logger, function: Callable[..., Any], text: str) -> None:
        code = function.__code__
        self._logger = logger
        self._function = function.__name__
        self._shared = (logger.name, logging.INFO, code.co_filename, code.co_firstlineno, text)

    def log(self, args: tuple[object, ...], extra: dict[str, Any]) -> None:
        """Write one by way of logging. The logger has been asked whether it is enabled for INFO."""
        self._logger.handle(self._logger.makeRecord(*self._shared, args, None, self._function, extra))

    def attributes(self) -> dict[str, Any]:
        """Return what the records have in common, by the names of the attributes."""
        record = logging.LogRecord(*self._shared, args=(), exc_info=None, func=self._function)
        names = ("name", "msg", "levelname", "levelno", "module", "funcName", "lineno")
        return {name: getattr(record, name) for name in names}
