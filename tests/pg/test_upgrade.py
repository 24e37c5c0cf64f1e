"""What holds the upgrade path together: scripts that were released do not change, and their C functions stay."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from devstack.postgres_tree import bindir

SQL = Path(__file__).resolve().parents[2] / "sql"
RELEASED = SQL / "released.sha256"


def changed_scripts(released: str, folder: Path) -> list[str]:
    """Which of the released scripts, one "digest  name" a line, are not what they were."""
    changed = []
    for line in released.splitlines():
        if line.startswith("#"):
            continue
        digest, name = line.split()
        script = folder / name
        if not script.exists() or hashlib.sha256(script.read_bytes()).hexdigest() != digest:
            changed.append(name)
    return changed


def test_released_scripts_are_as_they_were_released() -> None:
    assert changed_scripts(RELEASED.read_text(), SQL) == []


def test_a_released_script_that_changed_or_is_gone_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;")
    digest = hashlib.sha256(b"SELECT 1;").hexdigest()
    listed = f"# released\n{digest}  a.sql\n{digest}  gone.sql\n"
    assert changed_scripts(listed, tmp_path) == ["gone.sql"]
    (tmp_path / "a.sql").write_text("SELECT 2;")
    assert changed_scripts(listed, tmp_path) == ["a.sql", "gone.sql"]


def functions_of_scripts() -> set[str]:
    """The C functions that the SQL scripts of all versions name."""
    named: set[str] = set()
    for script in SQL.glob("pg_stat_requests--*.sql"):
        named |= set(re.findall(r"AS 'MODULE_PATHNAME', '(\w+)'", script.read_text()))
    return named


def functions_of_library() -> set[str]:
    """The functions that the library offers to SQL."""
    (library,) = bindir().parent.rglob("pg_stat_requests.so")
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r" pg_finfo_(\w+)$", symbols, re.MULTILINE))


def test_each_function_of_each_version_is_there_and_no_other() -> None:
    assert functions_of_scripts() == functions_of_library() != set()


def test_each_function_carries_the_version_of_the_script_that_brought_it() -> None:
    versions = {
        version.replace(".", "_")
        for script in SQL.glob("pg_stat_requests--*.sql")
        for version in re.findall(r"--([\d.]+)\.sql$", script.name)
    }
    for function in functions_of_scripts():
        assert any(function.endswith(f"_{version}") for version in versions), function


def test_the_default_version_has_a_script() -> None:
    (version,) = re.findall(r"default_version = '([\d.]+)'", (SQL / "pg_stat_requests.control").read_text())
    assert list(SQL.glob(f"pg_stat_requests--*{version}.sql"))
