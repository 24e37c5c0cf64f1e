"""Servers that are started and awaited: nothing stays behind of one that is not waited for to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.process import ServerError, ServerProcess


@pytest.mark.parametrize("detached", [False, True])
def test_who_is_interrupted_while_a_server_starts_leaves_none_running(tmp_path: Path, detached: bool) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    server = ServerProcess(["sleep", "600"], log=tmp_path / "log", detached=detached)
    with pytest.raises(KeyboardInterrupt):
        server.await_ready(interrupted, "sleep")
    assert not server.running()


def test_a_server_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    server = ServerProcess(["sleep", "600"], log=tmp_path / "log")
    with pytest.raises(ServerError, match=r"was not ready after 0\.1 s"):
        server.await_ready(lambda: False, "sleep", timeout=0.1)
    assert not server.running()


def test_a_server_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    server = ServerProcess(["sh", "-c", "echo no such setting; exit 3"], log=tmp_path / "log")
    with pytest.raises(ServerError, match=r"it ended with status 3\nno such setting"):
        server.await_ready(lambda: False, "it")
