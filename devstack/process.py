"""A server process that is started, awaited, watched and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path


class ServerError(RuntimeError):
    """A server did not start, or ended by itself. The message carries the end of its log."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ok(url: str) -> bool:
    """Whether the HTTP server at this address of 127.0.0.1 answers, and that all is well."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == HTTPStatus.OK)
    except urllib.error.HTTPError as not_yet:
        not_yet.close()
    except OSError:
        pass
    return False


class ServerProcess:
    """One process group with its output in a log file.

    It dies with its parent (also when that is killed) unless `detached`, which is for servers that outlive the command
    that started them.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        detached: bool = False,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it.

        Args:
            argv: The command.
            log: Standard output and error are appended to this file.
            env: Added to this process's environment.
            cwd: Working directory of the process.
            user: Run as this user (needs root).
            detached: Let it live on when this process ends.
            stop_signal: What `stop` sends first.
        """
        self.log = log
        self._stop_signal = stop_signal
        wrapper = ["setpriv"]
        if not detached:
            wrapper += ["--pdeathsig", stop_signal.name]
        if user is not None:
            wrapper += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        command = [*wrapper, "--", *map(str, argv)] if len(wrapper) > 1 else [*map(str, argv)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is the id of its process group too."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait(self, timeout: float = 60) -> int:
        """Wait until it ends by itself and return its exit status.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """
        return self._process.wait(timeout)

    def await_ready(self, ready: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait until `ready()` is true. Who is interrupted meanwhile leaves nothing running.

        Raises:
            ServerError: It ended first, or `timeout` seconds passed.
        """
        deadline = time.monotonic() + timeout
        try:
            while not ready():
                if not self.running():
                    raise ServerError(f"{what} ended with status {self._process.returncode}\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise ServerError(f"{what} was not ready after {timeout:g} s\n{self.log_tail()}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 20) -> int | None:
        """Send the stop signal, wait, and kill the whole group if it does not obey.

        Returns:
            The exit status; negative for the signal that ended it.
        """
        if self.running():
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End the whole process group with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def log_text(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log_text().splitlines()[-lines:])
