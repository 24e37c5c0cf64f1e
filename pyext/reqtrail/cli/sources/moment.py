"""Moments as logs write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_WITH_ZONE_NAME = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?) ?([A-Za-z/_+\-0-9:]*)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")
_YEARS = range(1971, 2200)
_LAST_SECOND = datetime(_YEARS.stop, 1, 1, tzinfo=timezone.utc).timestamp()


def parse_moment(value: object) -> datetime | None:
    """Read a time stamp: RFC 3339, PostgreSQL's `2026-11-24 07:08:09.123 CET`, or Unix time in seconds.

    Without a zone, or with one that is not known here, it is the local time of this machine. None for anything
    else, and outside of 1971 to 2199.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, timezone.utc) if 0 < value < _LAST_SECOND else None
    if not isinstance(value, str):
        return None
    matched = _WITH_ZONE_NAME.fullmatch(value.strip())
    if matched is None:
        return None
    whole, _, fraction = matched[1].replace(",", ".").partition(".")
    try:
        moment = datetime.fromisoformat(whole)
        if moment.year not in _YEARS:
            return None
        moment += timedelta(microseconds=int(fraction.ljust(6, "0")[:6] or 0))
        zone = _zone(matched[2])
        return (moment.astimezone() if zone is None else moment.replace(tzinfo=zone)).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _zone(name: str) -> tzinfo | None:
    if name in ("Z", "z", "UTC", "GMT"):
        return timezone.utc
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(away if offset[1] == "+" else -away)
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):
        return None
