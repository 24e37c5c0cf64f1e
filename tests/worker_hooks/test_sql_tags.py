"""What PostgreSQL sees of the task that a statement is of."""

from pathlib import Path

from devstack.postgres import Postgres
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker
from tests.worker_hooks.test_trail_through_a_worker import WAIT


def test_statements_of_a_task_are_tagged_with_its_name(prefork: Worker, tmp_path: Path) -> None:
    with Postgres(tmp_path / "server", settings={"shared_preload_libraries": ""}) as server:
        query = worker_app.own_statement.delay(server.port).get(timeout=WAIT)
    assert query.endswith(f" /*task='{worker_app.own_statement.name}'*/")
