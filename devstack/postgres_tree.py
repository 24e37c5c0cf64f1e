"""A private copy of the PostgreSQL installation with the extension in it, so that nothing is installed system-wide.

PostgreSQL finds its own files relative to its executable. So the executables are copied, everything else is linked, and
the extension's files lie beside the links.

REQTRAIL_PGTREE names another place for it than build/pgtree.

usage: python -m devstack.postgres_tree EXTENSION_SO
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from devstack.unprivileged import make_reachable

REPOSITORY = Path(__file__).resolve().parent.parent
TREE = REPOSITORY / os.environ.get("REQTRAIL_PGTREE", "build/pgtree")
_EXTENSION = "pg_stat_requests"
_PROGRAMS = ("postgres", "initdb", "pg_ctl", "psql", "pgbench", "pg_basebackup", "pg_isready")


def bindir(tree: Path = TREE) -> Path:
    """The folder of a private installation's programs.

    Raises:
        FileNotFoundError: It has not been made; `make build` does.
    """
    found = sorted(tree.resolve().glob("**/bin/postgres"))
    if not found:
        raise FileNotFoundError(f"no private PostgreSQL in {tree}: run `make build`")
    return found[0].parent


class PostgresTree:
    """A private installation, made in an empty folder, without `pg_stat_requests` even if the system has it."""

    def __init__(self, folder: Path, pg_config: str = "pg_config") -> None:
        """Make it."""
        places = {option: _ask(pg_config, option) for option in ("--bindir", "--pkglibdir", "--sharedir")}
        common = Path(os.path.commonpath(list(places.values())))
        programs, self.libraries, shared = (folder / place.relative_to(common) for place in places.values())
        self.extensions = shared / "extension"
        for own in (programs, self.libraries, self.extensions):
            own.mkdir(parents=True)
        for program in _PROGRAMS:
            shutil.copy2(places["--bindir"] / program, programs / program)
        _link_all(places["--pkglibdir"], self.libraries, but_prefix=f"{_EXTENSION}.so")
        _link_all(places["--sharedir"], shared, but_prefix="extension")
        _link_all(places["--sharedir"] / "extension", self.extensions, but_prefix=_EXTENSION)

    def add(self, library: Path) -> None:
        """Put the extension into it: its shared library, and the scripts of sql/."""
        shutil.copy2(library, self.libraries / f"{_EXTENSION}.so")
        for script in [*(REPOSITORY / "sql").glob("*.control"), *(REPOSITORY / "sql").glob(f"{_EXTENSION}--*.sql")]:
            shutil.copy2(script, self.extensions / script.name)


def _ask(pg_config: str, option: str) -> Path:
    answer = subprocess.run([pg_config, option], check=True, capture_output=True, text=True)
    return Path(answer.stdout.strip())


def _link_all(source: Path, target: Path, but_prefix: str) -> None:
    for entry in source.iterdir():
        if not entry.name.startswith(but_prefix):
            (target / entry.name).symlink_to(entry)


if __name__ == "__main__":
    real = make_reachable(TREE)
    PostgresTree(real).add(Path(sys.argv[1]))
    real.chmod(0o755)
