"""docs/getting-started.md, followed to the letter on servers of the test's own."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY
from devstack.process import ServerProcess, accepts_connections, free_port
from devstack.redis import Redis
from tests.docs.documents import examples
from tests.waiting import wait_for

PAGE = examples(REPOSITORY / "docs/getting-started.md")
SQL = [example.text for example in PAGE if example.language == "sql"]
COMMANDS = [line for example in PAGE if not example.language for line in example.text.splitlines()]


def command(program: str) -> list[str]:
    """The words of the command line that begins with `program`."""
    (line,) = [line for line in COMMANDS if line.startswith(program)]
    return shlex.split(line)


class Shop:
    """What the reader of the page has in front of them."""

    def __init__(self, folder: Path, postgres: Postgres, redis: Redis) -> None:
        self.folder = folder
        self.postgres = postgres
        self.port = free_port()
        (folder / "logs").mkdir()
        self.environment = {
            "SHOP_BROKER": redis.url,
            "SHOP_DATABASE": f"postgresql+psycopg://postgres@127.0.0.1:{postgres.port}/shop",
            "REQTRAIL_METRICS_DIR": str(folder / "metrics"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for example in PAGE:
            kind, _, name = example.purpose.partition(": ")
            if kind == "file":
                (folder / name).write_text(example.text)
            elif kind == "append to":
                with (folder / name).open("a") as written:
                    written.write(f"\n{example.text}")

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return self.postgres.connect("shop")

    def here(self, words: list[str]) -> list[str]:
        """A command of the page with the addresses of this test."""
        addresses = {
            "8000": str(self.port),
            "http://127.0.0.1:8000": f"http://127.0.0.1:{self.port}",
            "postgresql://127.0.0.1/shop": self.postgres.dsn("shop"),
        }
        for there, own in addresses.items():
            words = [own if word == there else word.replace(there, own) if "://" in there else word for word in words]
        return words

    def start(self, name: str, words: list[str]) -> ServerProcess:
        log = self.folder / "logs" / f"{name}.log"
        return ServerProcess(self.here(words), log=log, env=self.environment, cwd=self.folder)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Postgres(tmp_path / "server") as postgres, Redis(tmp_path / "redis") as redis:
        with postgres.connect() as connection:
            connection.execute("CREATE DATABASE shop")
        shop = Shop(tmp_path, postgres, redis)
        with shop.connect() as connection:
            connection.execute(SQL[0])
            connection.execute("CREATE TABLE orders AS SELECT id, 'new' AS state FROM generate_series(1, 10) id")
        api = shop.start("api", command("uvicorn"))
        worker = shop.start("worker", command("celery"))
        try:
            api.await_ready(lambda: accepts_connections(shop.port), "uvicorn")
            worker.await_ready(lambda: " ready." in worker.log_text(), "celery")
            yield shop
        finally:
            worker.stop()
            api.stop()


def run(shop: Shop, words: list[str]) -> str:
    """What one of the page's commands prints."""
    ended = subprocess.run(
        shop.here(words),
        cwd=shop.folder,
        env={**os.environ, **shop.environment},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_page_leads_to_the_trail_of_a_request(shop: Shop) -> None:
    assert "x-request-id: first-trail" in run(shop, command("curl")).lower()
    worker_log = shop.folder / "logs/worker.log"
    wait_for(lambda: '"request_id":"first-trail"' in worker_log.read_text(), 30)
    api_log = shop.folder / "logs/api.log"
    wait_for(lambda: '"request_id":"first-trail"' in api_log.read_text(), 30)
    with shop.connect() as connection:
        ((transactions, statements, rows, total_time, wal_bytes),) = connection.execute(SQL[1]).fetchall()
        state = connection.execute("SELECT state FROM orders WHERE id = 7").fetchone()
    assert (transactions, statements, rows, state) == (2, 2, 2, ("shipped",))
    assert (float(str(total_time)) > 0, int(str(wal_bytes)) > 0) == (True, True)
    assert "http_requests_total" in httpx.get(f"http://127.0.0.1:{shop.port}/metrics").text

    trail = run(shop, command("reqtrail trace"))
    assert "POST /orders/{id}/ship" in trail
    assert "shop.print_label" in trail
    assert "2 transactions" in trail
