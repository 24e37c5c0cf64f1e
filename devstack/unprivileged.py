"""Folders and identity for servers that refuse to run as root."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

_ROOT_UID = 0


def server_user() -> str | None:
    """The user that PostgreSQL must run as: `postgres` when we are root, else None (ourselves)."""
    return "postgres" if os.geteuid() == _ROOT_UID else None


def make_reachable(path: Path) -> Path:
    """Make an empty folder that `server_user()` owns and can reach; whatever was there is removed.

    A checkout below a folder that is closed to other users (such as /root) cannot hold a server's files. Then the real
    folder is made in /var/tmp, and `path` becomes a link to it.

    Returns:
        The real folder.
    """
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    real = path.absolute()
    user = server_user()
    if user is not None and not _can_enter(user, real.parent):
        name = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
        real = Path("/var/tmp") / f"reqtrail-{name}"  # noqa: S108 - owned by the server's user, mode 0700
        remove(real)
        path.symlink_to(real)
    real.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(real, user, user)
    return real


def remove(path: Path) -> None:
    """Remove a folder that `make_reachable` made, and the link to it. No error if there is none."""
    real = path.resolve()
    if path.is_symlink():
        path.unlink()
    if real.exists():
        shutil.rmtree(real)


def _can_enter(user: str, folder: Path) -> bool:
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", "test", "-x", str(folder)]
    return subprocess.run(command, check=False).returncode == 0
