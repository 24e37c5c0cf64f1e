import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devstack.postgres_tree import REPOSITORY
from devstack.unprivileged import make_reachable, remove

VERSION = (REPOSITORY / "VERSION").read_text().strip()


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What the command printed. Fails the test, with all of it, if the command fails."""
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}\n{ended.stdout[-8000:]}"
    return ended.stdout


@pytest.fixture
def reachable_path(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that the server's user can reach."""
    real = make_reachable(tmp_path / "reachable")
    real.chmod(0o755)
    yield real
    remove(tmp_path / "reachable")


class Distribution(NamedTuple):
    """What `make wheel` makes."""

    wheel: Path
    source: Path


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    output = tmp_path_factory.mktemp("wheel")
    run(REPOSITORY / "packaging/wheel/build.sh", sys.prefix, output)
    (wheel,) = output.glob("*.whl")
    (source,) = output.glob("*.tar.gz")
    return Distribution(wheel, source)


class ExtensionArchive(NamedTuple):
    """The release archive of the extension, unpacked."""

    archive: Path
    folder: Path
    meta: dict[str, Any]


@pytest.fixture
def extension_archive(tmp_path: Path) -> ExtensionArchive:
    run(REPOSITORY / "packaging/pgxn/archive.sh", tmp_path)
    (archive,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    folder = tmp_path / archive.stem
    return ExtensionArchive(archive, folder, json.loads((folder / "META.json").read_text()))


@pytest.fixture(scope="session")
def server_major() -> str:
    """The major version of the PostgreSQL that is tested."""
    found = re.search(r"\d+", run("pg_config", "--version"))
    assert found is not None
    return found.group()


def without_compilers() -> dict[str, str]:
    """An environment that finds no compiler, no CMake and nothing of the project."""
    return {"HOME": os.environ.get("HOME", "/"), "PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}
