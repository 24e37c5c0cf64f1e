"""Greenlets that share a pool of psycopg2, or of SQLAlchemy on it: a program of its own, as gevent patches all of it.

usage: python -m tests.pyext.database.gevent_program DSN     prints "ok"
"""

# ruff: noqa: E402 - gevent patches what is imported after it
from gevent import monkey

monkey.patch_all()

import sys
from typing import Any

import gevent
import gevent.lock
import psycopg2.extensions
from gevent.socket import wait_read, wait_write
from psycopg2.pool import ThreadedConnectionPool
from sqlalchemy import create_engine, text

import reqtrail.psycopg2
import reqtrail.sqlalchemy
from reqtrail import set_request_id
from tests.own_metrics import total

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true) FROM pg_sleep(0.001)"
REQUESTS = 200
AT_ONCE = 3


def wait(connection: Any) -> None:
    """What psycogreen is: psycopg2 waits for the server by letting other greenlets run."""
    waits = {psycopg2.extensions.POLL_READ: wait_read, psycopg2.extensions.POLL_WRITE: wait_write}
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        waits[state](connection.fileno())


def through_sqlalchemy(dsn: str) -> None:
    engine = create_engine(dsn.replace("postgresql", "postgresql+psycopg2", 1), pool_size=AT_ONCE, max_overflow=0)
    reqtrail.sqlalchemy.install(engine, pool_name="gevent")

    def one_request(number: int) -> None:
        set_request_id(f"request-{number}")
        with engine.begin() as connection:
            assert connection.scalar(text(SEEN)) == f"request-{number}"
            with connection.begin_nested():
                assert connection.scalar(text(SEEN)) == f"request-{number}"

    gevent.joinall([gevent.spawn(one_request, number) for number in range(REQUESTS)], raise_error=True)
    assert total("reqtrail_db_pool_connections", pool="gevent", state="idle") == AT_ONCE
    assert total("reqtrail_db_pool_waiting", pool="gevent") == 0
    assert total("reqtrail_db_pool_wait_seconds_count", pool="gevent") == REQUESTS
    engine.dispose()


def through_a_pool(dsn: str) -> None:
    pool = ThreadedConnectionPool(AT_ONCE, AT_ONCE, dsn)
    reqtrail.psycopg2.install(pool)
    free = gevent.lock.BoundedSemaphore(AT_ONCE)

    def one_request(number: int) -> None:
        set_request_id(f"request-{number}")
        with free:
            connection = pool.getconn()
            with connection, connection.cursor() as cursor:
                cursor.execute(SEEN)
                assert cursor.fetchall() == [(f"request-{number}",)]
            pool.putconn(connection)

    gevent.joinall([gevent.spawn(one_request, number) for number in range(REQUESTS)], raise_error=True)
    pool.closeall()


if __name__ == "__main__":
    psycopg2.extensions.set_wait_callback(wait)
    through_sqlalchemy(sys.argv[1])
    through_a_pool(sys.argv[1])
    print("ok")
