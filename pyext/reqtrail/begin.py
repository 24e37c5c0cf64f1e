"""What rides on the BEGIN of a transaction: the request id, for pg_stat_requests."""

import logging
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

from reqtrail._native import Rider
from reqtrail.sql_comment import Commenter, Tags, check_mode

__all__ = ["BeginRider"]

_Overrides = Callable[[type[Any], Any], dict[str, Any]]

# What the SET LOCAL of each mode sets.
_SETTINGS = {
    "guc": "pg_stat_requests.request_id",
    "both": "pg_stat_requests.request_id",
    "application_name": "application_name",
}

# The server refused the SET itself (no such setting, not PostgreSQL): it would refuse the next one too.
_REFUSALS = frozenset({"0A", "22", "42"})


class BeginRider(Rider):
    """Decides what rides on the BEGINs of one engine, pool or connection, and which comments its statements have.

    Any thread may use it. Its `statement()` is the SQL for the current request id, or None when nothing is to ride: as
    long as it is not `on`, and where `set_local`, which ends with the quote before the id, is None. Nothing but a
    request id ever becomes part of it. `quiet` are weak references to the connections whose next BEGIN is no
    transaction of the request, such as a ping of the pool.
    """

    def __init__(self, mode: str = "guc", tags: Tags = ()) -> None:
        """Start switched on. Raises what `configure` raises."""
        self.on = True
        self._classes: dict[type[Any], _Riding] = {}
        self._lock = threading.Lock()
        self.configure(mode, Commenter(mode, tags))

    def configure(self, mode: str, commenter: Commenter) -> None:
        """Work in this mode and write these comments from here on. Raises ValueError for a mode that is none of MODES.

        The id is set by SET LOCAL and not by set_config(): a SELECT would take the transaction's snapshot, so that
        REPEATABLE READ would see an older state than without it and the application's own SET TRANSACTION would fail.
        """
        check_mode(mode)
        setting = _SETTINGS.get(mode)
        with self._lock:
            self.commenter = commenter
            self.set_local = None if setting is None else f"SET LOCAL {setting} = '"
            self._override()

    def hush(self, connection: Any) -> None:
        """Let nothing ride on what `connection` sends, until `unhush`; which it may not live to see."""
        self.quiet.add(ref(connection, self.quiet.discard))

    def unhush(self, connection: Any) -> None:
        """Undo `hush`."""
        self.quiet.discard(ref(connection))

    def board(self, connection: Any, overrides: _Overrides) -> None:
        """Give `connection` a class that extends its own by `overrides(its own, self)`.

        Whoever made the connection, and of whatever class, nothing has to be handed to the driver for that. A
        connection that has a rider keeps it. Raises TypeError when Python cannot change the class of this object.
        """
        base = type(connection)
        if not hasattr(base, "_reqtrail_rider"):
            connection.__class__ = self.riding(base, overrides)

    def riding(self, base: type[Any], overrides: _Overrides) -> type[Any]:
        """Return the class that extends `base` by `overrides(base, self)`, the same one each time.

        `overrides` is asked again whenever the mode changes: what a mode does not need costs nothing. A class that has
        a rider is returned as it is.
        """
        if hasattr(base, "_reqtrail_rider"):
            return base
        riding = self._classes.get(base)
        if riding is None:
            with self._lock:
                riding = self._classes.get(base)
                if riding is None:
                    riding = self._classes[base] = _Riding(base, overrides, self)
        return riding.extended

    def commented(self, sql: str, *, percent: bool = False) -> str:
        """Return `sql` with the comments for the current request; just `sql` when there are none.

        `percent` doubles each "%" of the comments, for drivers that read it as the mark of a parameter.
        """
        return self.commenter.commented(sql, percent=percent) if self.on and self.commenter.active else sql

    @property
    def comments(self) -> Callable[..., str] | None:
        """What `commented` is to the hooks of a driver: None when there are no comments in this mode."""
        return self.commented if self.commenter.active else None

    def failed(self, sqlstate: str | None, reason: object) -> None:
        """Take note that the message with the id failed: a server that refuses the setting is not asked again."""
        if sqlstate is not None and sqlstate[:2] in _REFUSALS:
            self.stop(reason)

    @staticmethod
    def connection_is_lost(sqlstate: str | None) -> bool:
        """Say whether the server ends the connection with this error, so that a plain BEGIN has no chance either."""
        return sqlstate is None or sqlstate.startswith(("08", "57P"))

    @staticmethod
    def is_cancel(sqlstate: str | None) -> bool:
        """Say whether somebody, or a timeout, cancelled it: what the application was about to do is not to be done."""
        return sqlstate == "57014"

    def _override(self) -> None:
        for riding in self._classes.values():
            riding.override(self)

    def stop(self, reason: object) -> None:
        """Send no request id from here on, and log the reason, once."""
        if self.on:
            self.on = False
            logging.getLogger("reqtrail").warning("transactions go without a request id from here on: %s", reason)


class _Riding:
    """A class of a driver's objects that is extended by what a rider needs."""

    def __init__(self, base: type[Any], overrides: _Overrides, rider: BeginRider) -> None:
        self._base = base
        self._overrides = overrides
        members = overrides(base, rider)
        self._names = set(members) - {"__slots__"}
        named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "_reqtrail_rider": rider}
        metaclass: Any = type(base)
        self.extended: type[Any] = metaclass(base.__name__, (base,), {"__slots__": (), **named, **members})

    def override(self, rider: BeginRider) -> None:
        """Let it do what the rider needs now."""
        members = self._overrides(self._base, rider)
        members.pop("__slots__", None)
        for name, member in members.items():
            setattr(self.extended, name, member)
        for name in self._names - members.keys():
            delattr(self.extended, name)
        self._names = set(members)
