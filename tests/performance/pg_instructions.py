"""Instructions that pg_stat_requests adds to a statement, beside pg_stat_statements.

PostgreSQL runs under callgrind, once with few and once with many statements; the difference is what one more costs. It
comes out nearly the same each time and on each machine. Statements of the simple protocol are run in single-user mode;
those of the extended protocol, prepared once, by one backend of a server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

from devstack.postgres import Postgres
from devstack.postgres_tree import bindir
from devstack.unprivileged import make_reachable, remove, server_user
from tests.performance.report import BenchRow
from tests.waiting import wait_for

COMMAND = "python -m tests.performance.pg_instructions"
OURS = "pg_stat_requests"
PEER = "pg_stat_statements"
TAGGED_GOAL = 2000
PLAIN_GOAL = 250
PEER_PART = 1 / 5

Connection = psycopg.Connection[tuple[object, ...]]

_FEW, _HALF, _MANY = 200, 600, 1000
_KEYS = 10_000
_TABLE = f"""\
CREATE TABLE account AS SELECT g AS aid, g AS abalance FROM generate_series(1, {_KEYS}) g;
CREATE UNIQUE INDEX ON account (aid);
ANALYZE account;
"""
_CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
_COLLECTED = re.compile(r"Collected : (\d+)")


def _select(number: int) -> str:
    return f"SELECT abalance FROM account WHERE aid = {number * 37 % _KEYS + 1};"


def _plain(number: int) -> list[str]:
    return [_select(number)]


def _tagged(number: int) -> list[str]:
    """The least that an application sends: with a new id in each transaction, as requests have."""
    return ["BEGIN;", _set_id(number), _select(number), "COMMIT;"]


def _set_id(number: int) -> str:
    return f"SET LOCAL pg_stat_requests.request_id = '4f1c2b6e-8d0a-4f7e-9b1a-{number:012d}';"


class SingleUserServer:
    """A cluster that is only ever run in single-user mode. `directory` must not exist; it is made and removed."""

    def __init__(self, directory: Path) -> None:
        """Make the cluster, with one table.

        Raises:
            subprocess.CalledProcessError: It could not be made.
        """
        self._given = directory
        self._directory = make_reachable(directory)
        self._data = self._directory / "data"
        self._run([bindir() / "initdb", "-D", self._data, "-A", "trust", "-N"])
        self._run([bindir() / "postgres", "--single", "-D", self._data, "postgres"], _TABLE.splitlines())

    def instructions(self, libraries: str, statements: list[str]) -> int:
        """Instructions that the server executes from its start to its end, with `libraries` preloaded."""
        server: list[str | Path] = [bindir() / "postgres", "--single", "-D", self._data]
        preload = f"shared_preload_libraries={libraries}"
        return _collected(self._run([*_CALLGRIND, *server, "-c", preload, "postgres"], statements))

    def remove(self) -> None:
        """Delete it."""
        remove(self._given)

    def _run(self, command: list[str | Path], statements: list[str] | None = None) -> str:
        user = server_user()
        wrapper = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        ended = subprocess.run(
            [*wrapper, *command],
            input="\n".join(statements or []) + "\n",
            cwd=self._directory,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return ended.stderr


def _per_unit(total: Callable[[int], int]) -> list[float]:
    """What one more unit costs, by what `total` says of many: two estimates, from different stretches of work."""
    few, half, many = total(_FEW), total(_HALF), total(_MANY)
    return [(half - few) / (_HALF - _FEW), (many - half) / (_MANY - _HALF)]


def _simple(server: SingleUserServer, unit: Callable[[int], list[str]]) -> Callable[[str], list[float]]:
    """What one more unit costs in the simple protocol, by what is preloaded."""

    def total(libraries: str, units: int) -> int:
        return server.instructions(libraries, [line for number in range(1, units + 1) for line in unit(number)])

    return lambda libraries: _per_unit(lambda units: total(libraries, units))


def _extended(directory: Path, unit: Callable[[Connection, int], object]) -> Callable[[str], list[float]]:
    """What one more unit costs in the extended protocol, by what is preloaded."""

    def measured(libraries: str) -> list[float]:
        counts = directory / "counts"
        counts.mkdir()
        if user := server_user():
            shutil.chown(counts, user)
        # %p: each backend counts for itself, and says how much when it ends.
        callgrind = [*_CALLGRIND, f"--log-file={counts}/%p"]
        settings = {"shared_preload_libraries": libraries}
        try:
            with Postgres(directory / "server", settings=settings, wrapper=callgrind) as server:
                with server.connect() as connection:
                    connection.execute(_TABLE)
                return _per_unit(lambda units: _count(server, counts, unit, units))
        finally:
            shutil.rmtree(counts)

    return measured


def _count(server: Postgres, counts: Path, unit: Callable[[Connection, int], object], units: int) -> int:
    with server.connect() as connection:
        for number in range(1, units + 1):
            unit(connection, number)
        log = counts / str(connection.info.backend_pid)
    wait_for(lambda: _COLLECTED.search(log.read_text()) is not None, seconds=60)
    return _collected(log.read_text())


def _collected(output: str) -> int:
    found = _COLLECTED.search(output)
    if found is None:
        raise RuntimeError(f"callgrind counted nothing:\n{output[-2000:]}")
    return int(found.group(1))


def _prepared(connection: Connection, number: int) -> None:
    connection.execute("SELECT abalance FROM account WHERE aid = %s", (number * 37 % _KEYS + 1,), prepare=True)


def _tagged_prepared(connection: Connection, number: int) -> None:
    """As reqtrail's drivers send it: the id rides on BEGIN."""
    connection.execute(f"BEGIN; {_set_id(number)}", prepare=False)
    _prepared(connection, number)
    connection.execute("COMMIT", prepare=False)


def _peer_version() -> str:
    answer = subprocess.run([bindir() / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return f"{PEER} of PostgreSQL {answer.split()[2]}"


def _added(what: str, cost: Callable[[str], list[float]], goal: float) -> BenchRow:
    base, ours, peer = ([round(estimate) for estimate in cost(libraries)] for libraries in ("", OURS, PEER))
    added = [with_it - without for with_it, without in zip(ours, base, strict=True)]
    added_by_peer = [with_it - without for with_it, without in zip(peer, base, strict=True)]
    mean = sum(added) / len(added)
    return BenchRow(
        name=f"extension: instructions added to {what}",
        unit="instructions",
        ours=round(mean),
        goal=goal,
        better="lower",
        peers={_peer_version(): round(sum(added_by_peer) / len(added_by_peer))},
        spread=round((max(added) - min(added)) / 2 / max(abs(mean), goal), 4),  # ours may be next to nothing
        command=COMMAND,
    )


def _as_part_of_peer(row: BenchRow) -> BenchRow:
    (peer,) = row["peers"].values()
    return BenchRow(
        name=f"{row['name']}, as a part of {PEER}'s",
        unit="x",
        ours=round(row["ours"] / peer, 4),
        goal=PEER_PART,
        better="lower",
        peers=dict.fromkeys(row["peers"], 1.0),
        spread=row["spread"],
        command=COMMAND,
    )


def rows() -> list[BenchRow]:
    """Measure. Takes about four minutes and needs valgrind and the private PostgreSQL (`make build`).

    Raises:
        FileNotFoundError: One of the two is missing.
    """
    if shutil.which("valgrind") is None:
        raise FileNotFoundError("valgrind is not installed: `make setup` as root installs it")
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent)
        directory.chmod(0o755)
        server = SingleUserServer(directory / "single")
        try:
            tagged = _added("a tagged transaction", _simple(server, _tagged), TAGGED_GOAL)
            untagged = _added("an untagged statement", _simple(server, _plain), PLAIN_GOAL)
        finally:
            server.remove()
        prepared = "prepared, extended protocol"
        return [
            tagged,
            _as_part_of_peer(tagged),
            untagged,
            _added(f"a tagged transaction, {prepared}", _extended(directory, _tagged_prepared), TAGGED_GOAL),
            _added(f"an untagged statement, {prepared}", _extended(directory, _prepared), PLAIN_GOAL),
        ]


if __name__ == "__main__":
    from tests.performance.report import write

    write("pg_instructions", rows())
