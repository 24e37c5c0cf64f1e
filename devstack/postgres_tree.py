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
_PROGRAMS = ("postgres", "initdb", "pg_ctl", "psql", "pgbench", "pg_basebackup", "pg_isready")


def bindir() -> Path:
    """The folder of the private installation's programs.

    Raises:
        FileNotFoundError: It has not been made; `make build` does.
    """
    found = sorted(TREE.resolve().glob("**/bin/postgres"))
    if not found:
        raise FileNotFoundError(f"no private PostgreSQL in {TREE}: run `make build`")
    return found[0].parent


def build(extension: Path, pg_config: str = "pg_config") -> None:
    """Make the private installation anew, with `extension` (a shared library) and the scripts of sql/ in it."""
    real = make_reachable(TREE)
    places = {option: _ask(pg_config, option) for option in ("--bindir", "--pkglibdir", "--sharedir")}
    common = Path(os.path.commonpath(list(places.values())))
    own = {option: real / place.relative_to(common) for option, place in places.items()}
    for folder in own.values():
        folder.mkdir(parents=True, exist_ok=True)

    for program in _PROGRAMS:
        shutil.copy2(places["--bindir"] / program, own["--bindir"] / program)
    _link_all(places["--pkglibdir"], own["--pkglibdir"], but=extension.name)
    _link_all(places["--sharedir"], own["--sharedir"], but="extension")
    extensions = own["--sharedir"] / "extension"
    extensions.mkdir()
    _link_all(places["--sharedir"] / "extension", extensions, but_prefix=extension.stem)

    shutil.copy2(extension, own["--pkglibdir"] / extension.name)
    for script in [*(REPOSITORY / "sql").glob("*.control"), *(REPOSITORY / "sql").glob(f"{extension.stem}--*.sql")]:
        shutil.copy2(script, extensions / script.name)
    real.chmod(0o755)


def _ask(pg_config: str, option: str) -> Path:
    answer = subprocess.run([pg_config, option], check=True, capture_output=True, text=True)
    return Path(answer.stdout.strip())


def _link_all(source: Path, target: Path, but: str = "", but_prefix: str = "\0") -> None:
    for entry in source.iterdir():
        if entry.name != but and not entry.name.startswith(but_prefix):
            (target / entry.name).symlink_to(entry)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
