"""There is one version number, in VERSION; everything that shows one takes it from there."""

import re

import reqtrail
from devstack.postgres_tree import REPOSITORY
from tests.packaging.conftest import VERSION


def test_the_module_has_it() -> None:
    assert reqtrail.__version__ == VERSION


def test_the_changelog_begins_with_it() -> None:
    headings = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION


def test_no_other_file_of_the_build_names_it() -> None:
    named = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])")
    build_files = [
        *(REPOSITORY / "packaging").rglob("*"),
        *(REPOSITORY / name for name in ("CMakeLists.txt", "pyproject.toml", "Makefile", "Makefile.pgxs")),
    ]
    assert [path.name for path in build_files if path.is_file() and named.search(path.read_text())] == []
