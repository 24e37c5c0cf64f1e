"""The command as a whole: one tree, help, completion, pipes, terminals, and an installation without the extra."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.test_trace_sources import ACCESS, ID

COMMANDS = ("trace", "top", "doctor", "metrics")
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "rich", "httpx", "psycopg"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from reqtrail.cli import main
sys.exit(main())
"""


def test_help_lists_the_commands_and_each_has_examples(run: Command) -> None:
    listed = run("--help")
    assert listed.code == 0
    for command in COMMANDS:
        assert f" {command} " in listed.out
    for command in ("trace", "top", "doctor"):
        shown = run(command, "--help")
        assert shown.code == 0
        assert "Examples:" in shown.out
        assert f"reqtrail {command} " in shown.out
        assert "Exit codes:" in shown.out
    assert "--openmetrics" in run("metrics", "--help").out


def test_version(run: Command) -> None:
    version = (Path(__file__).parents[2] / "VERSION").read_text().strip()
    assert run("--version").out == f"reqtrail {version}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_commands_and_options(run: Command, shell: str) -> None:
    typed = {"bash": "reqtrail tr", "zsh": "reqtrail tr", "fish": "reqtrail tr"}[shell]
    environment = {
        "_REQTRAIL_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": typed,
        "COMP_CWORD": "1",
    }
    assert "trace" in run(env=environment).out


def test_the_same_command_by_its_name_and_as_a_module(run: Command) -> None:
    by_name = run.start("--version").communicate()[0]
    as_module = subprocess.run([sys.executable, "-m", "reqtrail", "--version"], capture_output=True, check=True).stdout
    assert by_name == as_module


def test_a_reader_that_has_seen_enough_ends_it_quietly(run: Command, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text(
        (ACCESS + "\n") + "".join(ACCESS.replace("GET", f"GET{n}") + "\n" for n in range(800))
    )
    for flags in ([], ["--json"]):
        with run.start("trace", ID, "--logs", "api.log", *flags) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
        assert process.returncode == 0


def written_to_a_terminal(run: Command, columns: int, *arguments: str) -> str:
    terminal, end = pty.openpty()
    with run.start(*arguments, stdout=end, env={"COLUMNS": str(columns)}):
        os.close(end)
        written = b""
        while True:
            try:
                written += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
    os.close(terminal)
    return written.decode()


def test_colours_on_a_terminal_and_none_in_a_pipe(run: Command, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    assert "\x1b" not in run("trace", ID, "--logs", "api.log").out
    assert "\x1b[" in written_to_a_terminal(run, 120, "trace", ID, "--logs", "api.log")


@pytest.mark.parametrize(("columns", "bar"), [(120, 24), (80, 12), (44, 0)])
def test_a_narrow_terminal_has_room_for_words_first(run: Command, tmp_path: Path, columns: int, bar: int) -> None:
    (tmp_path / "api.log").write_text(ACCESS + "\n")
    written = written_to_a_terminal(run, columns, "trace", ID, "--logs", "api.log")
    assert written.count("█") == bar
    assert "GET / 200" in written


def test_without_the_extra_it_says_what_to_install_and_metrics_still_works(tmp_path: Path) -> None:
    def run_blocked(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, check=False)

    refused = run_blocked("trace", ID)
    assert refused.returncode == 2
    assert refused.stderr == "reqtrail: typer is missing. Run: pip install 'reqtrail[cli]'\n"
    metrics = run_blocked("metrics", "--dir", str(tmp_path / "none"))
    assert metrics.returncode == 1
    assert "no such folder" in metrics.stderr
