"""Sessions of requests whose clients go away in the middle of an answer, under load, on a real server."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from devstack.postgres import Postgres
from devstack.process import ServerProcess, accepts_connections, free_port
from tests.waiting import wait_for

REQUESTS = 240
AT_ONCE = 12
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"


@pytest.fixture(params=["asyncpg", "psycopg"])
def url(request: pytest.FixtureRequest, plain_postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    server = ServerProcess(
        [sys.executable, "-m", "uvicorn", "tests.pyext.database.session_app:app", "--port", str(port)],
        log=tmp_path / "server.log",
        env={
            "SESSION_APP_DATABASE": plain_postgres.dsn().replace("postgresql", f"postgresql+{request.param}", 1),
            "REQTRAIL_METRICS_DIR": str(tmp_path),
        },
    )
    try:
        server.await_ready(lambda: accepts_connections(port), "uvicorn")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


async def one_request(client: httpx.AsyncClient, number: int) -> None:
    headers = {"X-Request-ID": f"request-{number}"}
    if number % 4 == 0:
        async with client.stream("GET", "/rows", headers=headers) as response:
            assert await anext(response.aiter_lines()) == f"request-{number}"
    elif number % 4 == 1:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.get("/seen", headers=headers), 0.002 * (number % 7))
    else:
        assert (await client.get("/seen", headers=headers)).json() == f"request-{number}"


async def test_each_session_has_its_own_id_and_nothing_is_left(url: str, plain_postgres: Postgres) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        due = iter(range(REQUESTS))

        async def one_client() -> None:
            for number in due:
                await one_request(client, number)

        await asyncio.gather(*(one_client() for _ in range(AT_ONCE)))

    def nothing_is_left() -> bool:
        with plain_postgres.connect() as other:
            metrics = httpx.get(f"{url}/metrics").text
            return other.execute(ASLEEP).fetchone() == (0,) and all(
                f"reqtrail_db_pool_{series} 0\n" in metrics
                for series in (
                    'connections{pool="postgres",state="checked_out"}',
                    'waiting{pool="postgres"}',
                    'timeouts_total{pool="postgres"}',
                )
            )

    wait_for(nothing_is_left, 60)
    for number in range(8):
        answer = httpx.get(f"{url}/seen", headers={"X-Request-ID": f"afterwards-{number}"})
        assert answer.json() == f"afterwards-{number}"
