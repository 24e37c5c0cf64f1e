"""Runs the command: in this process, which is quick, or in one of its own, as a person does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reqtrail.cli import main

_NOT_INHERITED = ("REQTRAIL_", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "XDG_CONFIG_HOME")


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


class Command:
    """`reqtrail`, in an empty folder that is the home too, and without the environment that configures it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: str = "") -> Done:
        """Run it in this process. An exception that would be a traceback on the terminal is one here."""
        with self._monkeypatch.context() as patched:
            patched.chdir(self._folder)
            for name in [name for name in os.environ if name.startswith(_NOT_INHERITED)]:
                patched.delenv(name)
            for name, value in self._environment(env).items():
                patched.setenv(name, value)
            self._capture.readouterr()
            with tempfile.TemporaryFile("w+") as typed:
                typed.write(stdin)
                typed.seek(0)
                patched.setattr(sys, "stdin", typed)
                code = main([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start it as a process of its own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        return subprocess.Popen(
            [Path(sys.executable).with_name("reqtrail"), *map(str, arguments)],
            cwd=self._folder,
            env={**inherited, **self._environment(env)},
            # A shell lets what it runs in the background ignore interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {"HOME": str(self._folder), "COLUMNS": "200", **(env or {})}
