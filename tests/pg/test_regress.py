"""Runs the pg_regress suite: tests/pg/sql/*.sql against tests/pg/expected/*.out."""

import subprocess
from pathlib import Path

from devstack.postgres import Postgres
from devstack.postgres_tree import bindir

HERE = Path(__file__).parent
# In this order: the first makes the extension that the others use.
SUITE = ("objects", "requests")


def pg_regress() -> Path:
    pgxs = subprocess.run(["pg_config", "--pgxs"], check=True, capture_output=True, text=True).stdout.strip()
    return Path(pgxs).parent.parent / "test" / "regress" / "pg_regress"


def test_the_regression_suite_passes(tmp_path: Path) -> None:
    assert {script.stem for script in (HERE / "sql").glob("*.sql")} == set(SUITE)
    with Postgres(tmp_path / "server") as server:
        run = subprocess.run(
            [
                pg_regress(),
                f"--inputdir={HERE}",
                f"--outputdir={tmp_path}",
                f"--bindir={bindir()}",
                "--host=127.0.0.1",
                f"--port={server.port}",
                "--user=postgres",
                "--dbname=regression",
                *SUITE,
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        server.stop()
        differences = tmp_path / "regression.diffs"
        shown = differences.read_text() if differences.exists() else ""
        assert run.returncode == 0, f"{run.stdout}{run.stderr}{shown}"
        assert server.fatal_log_lines() == []
