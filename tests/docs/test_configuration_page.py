"""docs/configuration.md says what the code says."""

import re
from pathlib import Path

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY
from tests.docs.configuration_page import PAGE, page


def test_the_page_is_made_from_this_code(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server") as server, server.connect() as connection:
        assert PAGE.read_text() == page(connection), "write it anew: make docs"


def test_every_argument_and_every_option_has_a_meaning() -> None:
    nameless = [line for line in PAGE.read_text().splitlines() if re.fullmatch(r"\| `.*\|\s*\|", line)]
    assert nameless == []


def test_every_variable_that_the_code_reads_is_named() -> None:
    read = set()
    for source in (REPOSITORY / "pyext/reqtrail").rglob("*.py"):
        read |= set(re.findall(r'"(REQTRAIL_[A-Z_]+)"', source.read_text()))
    assert {"REQTRAIL_ENABLED", "REQTRAIL_SERVICE"} <= read
    assert read <= set(re.findall(r"REQTRAIL_\w+", PAGE.read_text()))
