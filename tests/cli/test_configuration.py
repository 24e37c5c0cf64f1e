"""Flags, then the environment, then reqtrail.toml; and what is said when one of them is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Command, Done
from tests.cli.test_trace_sources import ACCESS, ID


@pytest.fixture(autouse=True)
def logs(tmp_path: Path) -> None:
    for name in ("file", "environment", "flag"):
        (tmp_path / f"{name}.log").write_text(ACCESS.replace("GET / 200", name) + "\n")


def found(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [event["name"] for event in done.json["events"]]


def test_a_flag_goes_before_the_environment_and_that_before_the_file(run: Command, tmp_path: Path) -> None:
    (tmp_path / "reqtrail.toml").write_text('logs = ["file.log"]\n')
    environment = {"REQTRAIL_LOGS": "environment.log"}
    assert found(run("trace", ID, "--json")) == ["file"]
    assert found(run("trace", ID, "--json", env=environment)) == ["environment"]
    assert found(run("trace", ID, "--json", "--logs", "flag.log", env=environment)) == ["flag"]


def test_several_values_in_the_environment_are_separated_by_semicolons(run: Command) -> None:
    assert found(run("trace", ID, "--json", env={"REQTRAIL_LOGS": "file.log; flag.log"})) == ["file", "flag"]


def test_the_file_is_looked_for_in_the_home_too_and_may_be_named(run: Command, tmp_path: Path) -> None:
    home = tmp_path / ".config" / "reqtrail" / "reqtrail.toml"
    home.parent.mkdir(parents=True)
    home.write_text('logs = "file.log"\n')
    assert found(run("trace", ID, "--json")) == ["file"]
    (tmp_path / "other.toml").write_text('logs = "flag.log"\n')
    assert found(run("trace", ID, "--json", "--config", "other.toml")) == ["flag"]
    assert found(run("trace", ID, "--json", env={"REQTRAIL_CONFIG": "other.toml"})) == ["flag"]


def test_a_table_counts_for_its_command_alone(run: Command, tmp_path: Path) -> None:
    (tmp_path / "reqtrail.toml").write_text(
        'logs = "file.log"\nslow_ms = 100\n[trace]\nlogs = "flag.log"\n[top]\nlimit = 3\n'
    )
    done = run("trace", ID, "--json")
    assert found(done) == ["flag"]
    assert done.json["causes"][0]["kind"] == "slow"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('logz = "x"', "unknown key 'logz'; there may be"),
        ("[trace]\nlogz = 1", "unknown key 'logz' in [trace]; there may be"),
        ("[trail]\nlogs = 1", "unknown table [trail]; there may be doctor, metrics, top, trace"),
        ("logs = 5", "logs is a text or a list of texts, not a number"),
        ("since = true", "since is one text or number, not true or false"),
        ('since = "soon"', "since: 'soon' is no time span such as 30s, 15m, 24h or 7d"),
        ('dsn = [["postgresql://me:secret@db/shop"]]', "dsn is a text or a list of texts, not a list with"),
        ("logs = ", "it is not TOML"),
        ('slow_ms = "fast"', "slow_ms: "),
        ("slow_ms = -1", "slow_ms: "),
        ('loki = "loki:3100"', "loki: 'loki:3100' is no address such as"),
        ('dsn = ["dbname=x", "password=secret nonsense"]', "dsn: it is no libpq URL"),
        ('[trace]\nsince = "soon"', "since: 'soon' is no time span"),
    ],
)
def test_a_wrong_file_is_a_clear_error_that_names_it(run: Command, tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "reqtrail.toml").write_text(content)
    done = run("trace", ID, "--logs", "flag.log", "--json")
    assert done.code == 2
    assert f"reqtrail.toml: {reason}" in done.words
    assert "secret" not in done.words


def test_a_wrong_value_in_the_environment_names_the_variable(run: Command) -> None:
    done = run("trace", ID, "--logs", "flag.log", env={"REQTRAIL_SINCE": "soon"})
    assert done.code == 2
    assert "REQTRAIL_SINCE: 'soon' is no time span" in done.words


def test_a_named_file_that_is_not_there_is_a_clear_error(run: Command) -> None:
    done = run("trace", ID, "--config", "missing.toml")
    assert done.code == 2
    assert "missing.toml: it cannot be read: No such file or directory" in done.words


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["trace"], "Missing argument"),
        (["trace", "a b"], "it has a character other than"),
        (["trace", ""], "it is empty"),
        (["trace", "x" * 129], "it is longer than 128 bytes"),
        (["trace", ID], "nothing to look at"),
        (["trace", ID, "--dsn", "host=h nonsense"], "it is no libpq URL or key=value string"),
        (["trace", ID, "--loki", "loki:3100"], "is no address such as http://127.0.0.1:9090"),
        (["trace", ID, "--logs", ""], "is no path"),
        (["trace", ID, "--loki", "htp://me:secret@loki"], "it is no address such as"),
        (["trace", ID, "--since", "0h"], "is no time span"),
        (["trace", ID, "--since", "999999d"], "is no time span"),
        (["top", "--dsn", "dbname=x", "--interval", "1e300"], "--interval"),
        (["trace", ID, "--repeated", "1"], "--repeated"),
        (["trace", ID, "--logs", "flag.log", "--html", "no/such/folder.html"], "cannot write no/such/folder.html"),
        (["top"], "nothing to look at"),
        (["top", "--by", "nonsense"], "nonsense"),
        (["doctor"], "nothing to check"),
        (["unknown"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_a_clear_error(run: Command, arguments: list[str], reason: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert reason in done.words
    assert done.out == ""
    assert "secret" not in done.err
