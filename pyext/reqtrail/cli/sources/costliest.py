"""The requests of the last minutes that cost a server most."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from psycopg.rows import DictRow

from reqtrail.cli.sources.database import Requests


class Order(str, Enum):
    """A column of pg_stat_requests to sort by, the largest first."""

    TOTAL_TIME = "total_time"
    MAX_TIME = "max_time"
    STATEMENTS = "statements"
    ERRORS = "errors"
    ROWS = "rows"
    WAL_BYTES = "wal_bytes"
    SHARED_BLKS_READ = "shared_blks_read"


def costliest(requests: Requests, window: timedelta, order: Order, limit: int) -> list[DictRow]:
    """The rows of pg_stat_requests that are not older than `window` and have anything in the column."""
    by = order.value
    return requests.select(
        "",
        f"WHERE v.last_seen > clock_timestamp() - %s AND v.{by} > 0 ORDER BY v.{by} DESC, v.last_seen DESC LIMIT %s",
        [window, limit],
    )
