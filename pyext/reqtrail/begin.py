"""What rides on the BEGIN of a transaction: the request id, for pg_stat_requests."""

import logging
from collections.abc import Callable
from typing import Any

from reqtrail._native import is_request_id, request_id_var
from reqtrail.sql_comment import Commenter, Tags, check_mode

__all__ = ["BeginRider", "set_local"]

# What the SET LOCAL of each mode sets.
_SETTINGS = {
    "guc": "pg_stat_requests.request_id",
    "both": "pg_stat_requests.request_id",
    "application_name": "application_name",
}

# The server refused the SET itself (no such setting, not PostgreSQL): it would refuse the next one too.
_REFUSALS = frozenset({"0A", "22", "42"})


def set_local(request_id: str, setting: str = "pg_stat_requests.request_id") -> str:
    """Return the SQL that gives the rest of the transaction to `request_id`.

    SET LOCAL and not set_config(): a SELECT would take the transaction's snapshot, so that REPEATABLE READ would see an
    older state than without it and the application's own SET TRANSACTION would fail. Raises ValueError when
    `request_id` is not a request id; nothing else ever becomes part of the SQL.
    """
    if not is_request_id(request_id):
        raise ValueError("not a request id")
    return f"SET LOCAL {setting} = '{request_id}'"


class BeginRider:
    """Decides what rides on the BEGINs of one engine, pool or connection, and which comments its statements have.

    Any thread may use it.
    """

    def __init__(self, mode: str = "guc", tags: Tags = ()) -> None:
        """Start switched on. Raises what `configure` raises."""
        self.on = True
        self.quiet: set[Any] = set()
        """Connections whose next BEGIN is no transaction of the request, such as a ping of the pool."""
        self._classes: dict[type[Any], type[Any]] = {}
        self.configure(mode, tags)

    def configure(self, mode: str, tags: Tags = ()) -> None:
        """Work in this mode and with these tags from here on.

        Raises ValueError for a mode that is none of MODES, and what `Commenter` raises for bad tags.
        """
        check_mode(mode)
        self.commenter = Commenter(mode, tags)
        self.setting = _SETTINGS.get(mode)

    def board(self, connection: Any, overrides: Callable[[type[Any], Any], dict[str, Any]]) -> None:
        """Give `connection` a class that extends its own by `overrides(its own, self)`.

        Whoever made the connection, and of whatever class, nothing has to be handed to the driver for that. A
        connection that has a rider keeps it. Raises TypeError when Python cannot change the class of this object.
        """
        base = type(connection)
        if not hasattr(base, "_reqtrail_rider"):
            connection.__class__ = self.riding(base, overrides)

    def riding(self, base: type[Any], overrides: Callable[[type[Any], Any], dict[str, Any]]) -> type[Any]:
        """Return the class that extends `base` by `overrides(base, self)`, the same one each time.

        A class that has a rider is returned as it is.
        """
        if hasattr(base, "_reqtrail_rider"):
            return base
        riding = self._classes.get(base)
        if riding is None:
            members = {"__slots__": (), "__module__": base.__module__, "__qualname__": base.__qualname__}
            metaclass: Any = type(base)
            riding = metaclass(base.__name__, (base,), {**members, "_reqtrail_rider": self, **overrides(base, self)})
            self._classes[base] = riding
        return riding

    def statement(self) -> str | None:
        """Return the SQL for the current request id, or None when nothing is to ride."""
        request_id = request_id_var.get(None)
        if request_id is None or not self.on or self.setting is None:
            return None
        if not isinstance(request_id, str) or not is_request_id(request_id):
            return None
        return set_local(request_id, self.setting)

    def commented(self, sql: str, *, percent: bool = False) -> str:
        """Return `sql` with the comments for the current request; just `sql` when there are none.

        `percent` doubles each "%" of the comments, for drivers that read it as the mark of a parameter.
        """
        return self.commenter.commented(sql, percent=percent) if self.on and self.commenter.active else sql

    def failed(self, sqlstate: str | None, reason: object) -> None:
        """Take note that the message with the id failed: a server that refuses the setting is not asked again."""
        if sqlstate is not None and sqlstate[:2] in _REFUSALS:
            self.stop(reason)

    @staticmethod
    def connection_is_lost(sqlstate: str | None) -> bool:
        """Say whether the server ends the connection with this error, so that a plain BEGIN has no chance either."""
        return sqlstate is None or sqlstate.startswith(("08", "57P"))

    def stop(self, reason: object) -> None:
        """Send no request id from here on, and log the reason, once."""
        if self.on:
            self.on = False
            logging.getLogger("reqtrail").warning("transactions go without a request id from here on: %s", reason)
