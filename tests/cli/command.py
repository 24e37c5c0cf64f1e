"""Runs the command as a person does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOT_INHERITED = ("REQTRAIL_", "COLUMNS", "FORCE_COLOR", "XDG_CONFIG_HOME")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value

    @property
    def words(self) -> str:
        """Standard error without the frame and the line ends that depend on the terminal."""
        return " ".join(self.err.replace("│", " ").split())


def environment(folder: Path, **env: str) -> dict[str, str]:
    """This process's environment, without what configures the command and without the home's reqtrail.toml."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {**kept, "HOME": str(folder), **env}


def reqtrail(
    *arguments: str | Path, folder: Path, env: Mapping[str, str] | None = None, stdin: str | None = None
) -> Done:
    """Run `python -m reqtrail` in `folder` and wait for its end. What no person should see is an error here."""
    ended = subprocess.run(
        [sys.executable, "-m", "reqtrail", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **(env or {})),
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Done(ended.returncode, ended.stdout, ended.stderr)
