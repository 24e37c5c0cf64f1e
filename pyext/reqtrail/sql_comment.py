"""The request id and static tags as comments of SQL statements, and the modes in which a server is told the id."""

import logging
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from reqtrail._native import request_id_between
from reqtrail.sql_tags import SOURCES

__all__ = ["MODES", "Commenter", "Tags", "check_mode"]

MODES = ("guc", "comment", "both", "application_name")
"""How the server learns the id: from a SET LOCAL on BEGIN, from comments, from both, or as application_name."""

Tags = Iterable[str] | Mapping[str, str | Callable[[], str | None]]
"""Names of built-in tags ("route", "task"), or the tags themselves: a text, or what returns one (None: no tag)."""

_MAX_TEXTS = 1000


def check_mode(mode: str) -> None:
    """Raise ValueError, with the names of those that are, when `mode` is not one of MODES."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, not {mode!r}")


class Commenter:
    """Writes the comments of statements: the id in front, as it is a new one for each request, tags at the end.

    Tags are written as sqlcommenter does. There are few different ones, so that caches of statements by their text
    still hit. Any thread may use it.
    """

    def __init__(self, mode: str = "guc", tags: Tags = ()) -> None:
        """Comment as `mode` and `tags` say.

        Raises ValueError for a tag that is not built in or a name that is empty, TypeError for a text in place of
        names.
        """
        self.with_id = mode in ("comment", "both")
        self._sources = _sources(tags)
        self._texts: dict[tuple[str | None, ...], str] = {}
        self.active = self.with_id or bool(self._sources)

    def commented(self, sql: str, *, percent: bool = False) -> str:
        """Return `sql` with its comments. `percent` doubles each "%" of them."""
        front = self.front()
        end = self.end()
        if end:
            if percent:
                end = end.replace("%", "%%")
            # A line comment without its newline would swallow it.
            sql = f"{sql}\n{end}" if "--" in sql[sql.rfind("\n") + 1 :] else f"{sql} {end}"
        return f"{front} {sql}" if front else sql

    def front(self) -> str:
        """Return the comment with the current request id, or "" when there is none."""
        return (request_id_between("/* request_id: ", " */") or "") if self.with_id else ""

    def end(self) -> str:
        """Return the comment with the tags, or ""."""
        if not self._sources:
            return ""
        values = tuple(source if isinstance(source, str) else _ask(source) for _, source in self._sources)
        text = self._texts.get(values)
        if text is None:
            text = self._keep(values)
        return text

    def _keep(self, values: tuple[str | None, ...]) -> str:
        if len(self._texts) >= _MAX_TEXTS:
            if len(self._texts) == _MAX_TEXTS:
                self._texts[("over",) * (len(values) + 1)] = ""
                logging.getLogger("reqtrail").warning(
                    "SQL comments have %d different sets of tags: new ones are left out from here on", _MAX_TEXTS
                )
            return ""
        named = zip((name for name, _ in self._sources), values, strict=True)
        text = ",".join(f"{_encoded(name)}='{_encoded(value)}'" for name, value in named if value)
        text = self._texts[values] = f"/*{text}*/" if text else ""
        return text


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _sources(tags: Tags) -> list[tuple[str, str | Callable[[], str | None]]]:
    if isinstance(tags, str):
        raise TypeError("tags must be names or a mapping, not one str")
    if not isinstance(tags, Mapping):
        names = list(tags)
        for name in names:
            if name not in SOURCES:
                raise ValueError(f"there is no tag {name!r}; there are: {', '.join(SOURCES)}; others need a mapping")
        tags = {name: SOURCES[name] for name in names}
    for name, source in tags.items():
        if not isinstance(name, str) or not name:
            raise ValueError("the name of a tag must be a str that is not empty")
        if not isinstance(source, str) and not callable(source):
            raise TypeError(f"the tag {name!r} must be a str or a callable, not {type(source).__name__}")
    return sorted(tags.items())


def _ask(source: Callable[[], str | None]) -> str | None:
    try:
        value = source()
    except Exception as fault:
        from reqtrail._faults import report_fault

        report_fault("sql_tags", fault)
        return None
    return value if isinstance(value, str) else None
