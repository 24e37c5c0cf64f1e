"""Grafana's macros for PostgreSQL, as its data source replaces them."""

from __future__ import annotations

import re
from datetime import datetime

MACROS = {name: f"${name}" for name in ("__timeFilter", "__timeGroupAlias", "__interval")}
"""Their names, to be left alone where variables are filled in."""
_GROUP = re.compile(r"\$__timeGroupAlias\((?P<column>\w+), \$__interval\)")
_FILTER = re.compile(r"\$__timeFilter\((?P<column>\w+)\)")


def expanded(text: str, start: datetime, end: datetime, interval_seconds: int) -> str:
    """Return the SQL that Grafana sends for the range from `start` to `end` with points `interval_seconds` apart."""
    text = _FILTER.sub(rf"\g<column> BETWEEN '{start.isoformat()}' AND '{end.isoformat()}'", text)
    seconds = interval_seconds
    return _GROUP.sub(rf'floor(extract(epoch from \g<column>)/{seconds})*{seconds} AS "time"', text)
