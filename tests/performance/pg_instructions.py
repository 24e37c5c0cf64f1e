"""Instructions that pg_stat_requests adds to a statement, beside pg_stat_statements.

PostgreSQL runs in single-user mode under callgrind, once with few and once with many statements; the difference is what
one more costs. Without clients, other processes and a clock it comes out nearly the same each time and on each machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.postgres_tree import bindir
from devstack.unprivileged import make_reachable, remove, server_user
from tests.performance.report import BenchRow

COMMAND = "python -m tests.performance.pg_instructions"
OURS = "pg_stat_requests"
PEER = "pg_stat_statements"
TAGGED_GOAL = 2000
PLAIN_GOAL = 250
PEER_PART = 1 / 5

_FEW, _HALF, _MANY = 200, 600, 1000
_KEYS = 10_000
_COLLECTED = re.compile(r"Collected : (\d+)")


def _select(number: int) -> str:
    return f"SELECT abalance FROM account WHERE aid = {number * 37 % _KEYS + 1};"


def _plain(number: int) -> list[str]:
    return [_select(number)]


def _tagged(number: int) -> list[str]:
    """The least that an application sends: with a new id in each transaction, as requests have."""
    set_id = f"SET LOCAL pg_stat_requests.request_id = '4f1c2b6e-8d0a-4f7e-9b1a-{number:012d}';"
    return ["BEGIN;", set_id, _select(number), "COMMIT;"]


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
        seed = [
            f"CREATE TABLE account AS SELECT g AS aid, g AS abalance FROM generate_series(1, {_KEYS}) g;",
            "CREATE UNIQUE INDEX ON account (aid);",
            "VACUUM ANALYZE account;",
        ]
        self._run([bindir() / "postgres", "--single", "-D", self._data, "postgres"], seed)

    def instructions(self, libraries: str, statements: list[str]) -> int:
        """Instructions that the server executes from its start to its end, with `libraries` preloaded."""
        server: list[str | Path] = [bindir() / "postgres", "--single", "-D", self._data]
        callgrind: list[str | Path] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        output = self._run([*callgrind, *server, "-c", f"shared_preload_libraries={libraries}", "postgres"], statements)
        found = _COLLECTED.search(output)
        if found is None:
            raise RuntimeError(f"callgrind counted nothing:\n{output[-2000:]}")
        return int(found.group(1))

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


def _per_unit(server: SingleUserServer, libraries: str, unit: Callable[[int], list[str]]) -> list[float]:
    """What one more unit costs: two estimates, from different stretches of work."""

    def total(units: int) -> int:
        return server.instructions(libraries, [line for number in range(1, units + 1) for line in unit(number)])

    few, half, many = total(_FEW), total(_HALF), total(_MANY)
    return [(half - few) / (_HALF - _FEW), (many - half) / (_MANY - _HALF)]


@contextmanager
def _server() -> Iterator[SingleUserServer]:
    if shutil.which("valgrind") is None:
        raise FileNotFoundError("valgrind is not installed: `make setup` as root installs it")
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        server = SingleUserServer(Path(parent) / "server")
        try:
            yield server
        finally:
            server.remove()


def _peer_version() -> str:
    answer = subprocess.run([bindir() / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return f"{PEER} of PostgreSQL {answer.split()[2]}"


def _added(server: SingleUserServer, what: str, unit: Callable[[int], list[str]], goal: float) -> BenchRow:
    base = _per_unit(server, "", unit)
    ours = [with_it - without for with_it, without in zip(_per_unit(server, OURS, unit), base, strict=True)]
    peer = [with_it - without for with_it, without in zip(_per_unit(server, PEER, unit), base, strict=True)]
    added = sum(ours) / len(ours)
    return BenchRow(
        name=f"extension: instructions added to {what}",
        unit="instructions",
        ours=round(added),
        goal=goal,
        better="lower",
        peers={_peer_version(): round(sum(peer) / len(peer))},
        spread=round((max(ours) - min(ours)) / 2 / max(abs(added), goal), 4),  # ours may be next to nothing
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
    """Measure. Takes about a minute and needs valgrind and the private PostgreSQL (`make build`).

    Raises:
        FileNotFoundError: One of the two is missing.
    """
    with _server() as server:
        tagged = _added(server, "a tagged transaction", _tagged, TAGGED_GOAL)
        return [tagged, _as_part_of_peer(tagged), _added(server, "an untagged statement", _plain, PLAIN_GOAL)]


if __name__ == "__main__":
    from tests.performance.report import write

    write("pg_instructions", rows())
