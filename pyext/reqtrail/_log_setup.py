"""What `reqtrail.logging.setup` does to the loggers of a process, and how it is undone."""

import logging
import sys
from typing import Any

from reqtrail import _installations
from reqtrail._log_handlers import JSONHandler

# These come with handlers of their own, or do not hand their records on.
_SERVER_LOGGERS = (
    "uvicorn",
    "uvicorn.error",
    "gunicorn.error",
    "gunicorn.access",
    "hypercorn.error",
    "celery",
    "celery.task",
)
# The access line of an installation says the same and more.
_ACCESS_LOGGERS = ("uvicorn.access", "hypercorn.access")


class Setup:
    """What was changed, so that it can be put back. Handlers that others add or remove meanwhile stay so."""

    def __init__(self) -> None:
        """Remember how the root logger is now."""
        self.options: dict[str, Any] = {}
        self.by_application = False
        self.level = logging.getLogger().level
        self.levels: dict[str, int] = {}
        self._handler: logging.Handler = logging.NullHandler()
        self._level_before = self.level
        self._levels_before: dict[str, int] = {}
        self._removed: list[tuple[logging.Logger, logging.Handler]] = []
        self._propagate: dict[logging.Logger, bool] = {}
        self._silenced: set[logging.Logger] = set()
        self._latecomers = _Latecomers(self)

    def take_over(self, handler: logging.Handler, level: int, levels: dict[str, int]) -> None:
        """Give the root logger `handler` in place of the one before and of those that write to the console."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        _end(self._handler)
        self._handler = handler
        self._claim(root)
        self.claim_servers()
        for logger in _server_loggers():
            logger.addFilter(self._latecomers)
        root.addHandler(handler)
        root.setLevel(level)
        self._put_back_levels()
        self.level, self.levels = level, levels
        for name, number in levels.items():
            self._levels_before[name] = logging.getLogger(name).level
            logging.getLogger(name).setLevel(number)

    def claim_servers(self) -> None:
        """Let the servers' loggers hand their records on to the root logger.

        Those of access lines do so while there is no installation, unless the server was told to write none.
        """
        for logger in _server_loggers():
            self._propagate.setdefault(logger, logger.propagate)
            had_console = self._claim(logger)
            if logger.name in _ACCESS_LOGGERS:
                self._hand_access_lines_on(logger, had_console)
            else:
                logger.propagate = True

    def give_back(self) -> None:
        """Undo it."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        _end(self._handler)
        root.setLevel(self._level_before)
        self._put_back_levels()
        for logger in _server_loggers():
            logger.removeFilter(self._latecomers)
        for logger, console in self._removed:
            logger.addHandler(console)
        for logger, propagate in self._propagate.items():
            logger.propagate = propagate

    def _put_back_levels(self) -> None:
        for name, number in self._levels_before.items():
            logging.getLogger(name).setLevel(number)
        self._levels_before = {}

    def _hand_access_lines_on(self, logger: logging.Logger, had_console: bool) -> None:
        is_wanted = had_console or logger.propagate or logger in self._silenced
        is_silent = _installations.is_any_there()
        logger.propagate = is_wanted and not is_silent
        if is_wanted and is_silent:
            self._silenced.add(logger)
        else:
            self._silenced.discard(logger)

    def _claim(self, logger: logging.Logger) -> bool:
        consoles = list(filter(_writes_to_console, logger.handlers))
        for console in consoles:
            logger.removeHandler(console)
            self._removed.append((logger, console))
        return bool(consoles)


class _Latecomers(logging.Filter):
    """Notices that a server has set up its loggers after us, when it writes its next record."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self._setup = setup

    def filter(self, _record: logging.LogRecord) -> bool:
        if any(logger.handlers for logger in _server_loggers()):
            self._setup.claim_servers()
        return True


def level_number(level: str | int) -> int:
    """Return the number of a level. Raises ValueError for what is no level."""
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        names = "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        raise ValueError(f"level is {names}, or the number of a level, not {level!r}")
    return number


def _server_loggers() -> list[logging.Logger]:
    return [logging.getLogger(name) for name in (*_SERVER_LOGGERS, *_ACCESS_LOGGERS)]


def _writes_to_console(handler: logging.Handler) -> bool:
    console = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    if isinstance(handler, JSONHandler):
        return handler.writes_to_console
    return isinstance(handler, logging.StreamHandler) and handler.stream in console


def _end(handler: logging.Handler) -> None:
    handler.flush()
    handler.close()
