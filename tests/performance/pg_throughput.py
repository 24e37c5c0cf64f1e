"""What pg_stat_requests does to a server under load: throughput and tail latency of pgbench, beside pg_stat_statements.

Every round runs the same load on each of five servers that differ in what they preload, one after the other, and the
order turns from round to round. Only the servers of one round are compared with each other: a machine that is busy for
a while then slows all of them, and the ratio stays. Two of the servers preload nothing: by how much they differ is the
noise. What is reported is the median of many short rounds, the spread that of the medians of each fifth of them.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg

from devstack.postgres import Postgres
from devstack.postgres_tree import bindir
from tests.performance.report import BenchRow

COMMAND = "python -m tests.performance pg_throughput"
THROUGHPUT_GOAL = 0.97
P99_GOAL = 1.05

_PEER, _OURS = "pg_stat_statements", "pg_stat_requests"
_NONE, _NONE_AGAIN, _BOTH = "none", "none again", "both"
_LIBRARIES = {_NONE: "", _PEER: _PEER, _OURS: _OURS, _BOTH: f"{_PEER},{_OURS}", _NONE_AGAIN: ""}
_ROUNDS = 30
_SECONDS = 1
_POLLED_ROUNDS = 10
_POLLED_SECONDS = 3
_CLIENTS = 4
_HELD = 25_000  # the default of pg_stat_requests.max

_SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
_AID = "\\set aid random(1, 100000)\n"
# As reqtrail's drivers send it: the id rides on BEGIN. pgbench puts variables into quoted text as well.
_TAGGED = "BEGIN\\; SET LOCAL pg_stat_requests.request_id = '{id}';\n" + _SELECT + "COMMIT;\n"
_LOADS = {
    "a new id in every transaction, ring full": "\\set id random(1, 1000000000000000)\n"
    + _AID
    + _TAGGED.format(id="4f1c2b6e-8d0a-4f7e-:id"),
    "one id for all clients": _AID + _TAGGED.format(id="4f1c2b6e-8d0a-4f7e-9b1a-000000000001"),
    "no id": _AID + _SELECT,
}
_NEW_ID = next(iter(_LOADS))
_POLLS = {
    "the costliest of the whole view are read": (
        b"SELECT * FROM pg_stat_requests ORDER BY total_time DESC LIMIT 10",
        THROUGHPUT_GOAL,
    ),
    "the whole view is sent": (b"SELECT * FROM pg_stat_requests", None),
}


class Measured(NamedTuple):
    """One run of pgbench."""

    transactions_a_second: float
    p99_us: float


@dataclass(frozen=True)
class _Target:
    name: str
    server: Postgres


@contextmanager
def _servers() -> Iterator[list[_Target]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        targets = []
        for number, (name, libraries) in enumerate(_LIBRARIES.items()):
            settings = {"shared_preload_libraries": libraries, "autovacuum": "off"}
            server = stack.enter_context(Postgres(directory / f"server-{number}", settings=settings))
            _pgbench(server, "--initialize", "--quiet", "--scale=1")
            with server.connect() as connection:
                for extension in filter(None, libraries.split(",")):
                    connection.execute(f"CREATE EXTENSION {extension}")
            targets.append(_Target(name, server))
        yield targets


def _pgbench(server: Postgres, *options: str, cwd: Path | None = None) -> None:
    command = [str(bindir() / "pgbench"), "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", *options]
    subprocess.run([*command, "postgres"], check=True, capture_output=True, cwd=cwd)


def _run(server: Postgres, script: str, length: str) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.sql").write_text(script)
        load = ["--no-vacuum", "--file=script.sql", f"--client={_CLIENTS}", length, "--log"]
        _pgbench(server, *load, cwd=folder)
        # A line is: client, number of the transaction, latency in microseconds, ...
        lines = "".join(path.read_text() for path in folder.glob("pgbench_log.*")).splitlines()
    latencies = sorted(int(line.split()[2]) for line in lines)
    # The busy time of the clients, which leaves out pgbench's own start and connections.
    seconds = sum(latencies) / 1e6 / _CLIENTS
    return Measured(len(latencies) / seconds, latencies[len(latencies) * 99 // 100])


def _rounds(targets: list[_Target], script: str) -> dict[str, list[Measured]]:
    """The measurements of each server, one for each round."""
    measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for number in range(_ROUNDS):
        turn = number % len(targets)
        for target in targets[turn:] + targets[:turn]:
            measured[target.name].append(_run(target.server, script, f"--time={_SECONDS}"))
    return measured


@contextmanager
def _polled(server: Postgres, query: bytes) -> Iterator[None]:
    """Read once a second, as a monitoring tool would; by libpq, because making objects of rows is the client's time."""
    over = threading.Event()

    def poll() -> int:
        reads = 0
        with server.connect() as connection:
            while not over.wait(1):
                result = connection.pgconn.exec_(query)
                if not result.ntuples:
                    raise RuntimeError(f"the poller read nothing: {result.get_error_message()}")
                reads += 1
        return reads

    with ThreadPoolExecutor(max_workers=1) as pool:
        poller = pool.submit(poll)
        try:
            yield
        finally:
            over.set()
    if not poller.result():
        raise RuntimeError("the view was not read once: the load was over too soon")


def _compared(
    what: str, ours: list[float], peers: dict[str, list[float]], *, goal: float | None, higher: bool
) -> BenchRow:
    fifth = len(ours) // 5
    repeated = [statistics.median(ours[start : start + fifth]) for start in range(0, 5 * fifth, fifth)]
    return BenchRow(
        name=f"extension: {what}",
        unit="x of no extension",
        ours=round(statistics.median(ours), 4),
        goal=goal,
        better="higher" if higher else "lower",
        peers={name: round(statistics.median(ratios), 4) for name, ratios in peers.items()},
        spread=round((max(repeated) - min(repeated)) / 2 / statistics.median(ours), 4),
        command=COMMAND,
    )


def _rows_of(load: str, measured: dict[str, list[Measured]], version: str) -> list[BenchRow]:
    def ratios(name: str, quantity: str) -> list[float]:
        pairs = zip(measured[name], measured[_NONE], strict=True)
        return [getattr(with_it, quantity) / getattr(without, quantity) for with_it, without in pairs]

    def row(what: str, quantity: str, goal: float, higher: bool) -> BenchRow:
        peers = {
            f"{_PEER} of {version}": ratios(_PEER, quantity),
            "both together": ratios(_BOTH, quantity),
            "no extension, another server": ratios(_NONE_AGAIN, quantity),
        }
        return _compared(f"{what}, {load}", ratios(_OURS, quantity), peers, goal=goal, higher=higher)

    return [
        row("throughput", "transactions_a_second", THROUGHPUT_GOAL, higher=True),
        row("p99 latency", "p99_us", P99_GOAL, higher=False),
    ]


def _polling_row(server: Postgres, what: str, query: bytes, goal: float | None) -> BenchRow:
    ratios = []
    for number in range(_POLLED_ROUNDS):
        pair = {}
        for polled in ("alone", "polled") if number % 2 else ("polled", "alone"):
            with _polled(server, query) if polled == "polled" else nullcontext():
                pair[polled] = _run(server, _LOADS[_NEW_ID], f"--time={_POLLED_SECONDS}").transactions_a_second
        ratios.append(pair["polled"] / pair["alone"])
    row = _compared(f"throughput while {what} once a second", ratios, {}, goal=goal, higher=True)
    row["unit"] = "x of not being read"
    return row


def rows() -> list[BenchRow]:
    """Measure. Takes about ten minutes and needs the private PostgreSQL (`make build`)."""
    found: list[BenchRow] = []
    with _servers() as targets:
        (ours,) = [target.server for target in targets if target.name == _OURS]
        for target in targets:
            _run(target.server, _LOADS[_NEW_ID], f"--transactions={2 * _HELD // _CLIENTS}")
        with ours.connect() as connection:
            version = f"PostgreSQL {connection.info.parameter_status('server_version')}".split(" (")[0]
            _check_full(connection)
        for load, script in _LOADS.items():
            found += _rows_of(load, _rounds(targets, script), version)
        found += [_polling_row(ours, what, query, goal) for what, (query, goal) in _POLLS.items()]
    return found


def _check_full(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    state = connection.execute("SELECT used, capacity, overwritten FROM pg_stat_requests_info").fetchone()
    if state is None or state[0] != state[1] or not state[2]:
        raise RuntimeError(f"the ring is not full, what follows would measure something else: {state}")
