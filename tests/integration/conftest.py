from collections.abc import Iterator

import httpx
import pytest

from devstack.commandcenter import CommandCenter


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandCenter]:
    with CommandCenter(tmp_path_factory.mktemp("trail") / "stack") as running:
        yield running
        running.stop()
        fatal_lines = running.postgres.fatal_log_lines()
        running.remove()
        assert fatal_lines == []


@pytest.fixture
def client(stack: CommandCenter) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=30) as connected:
        yield connected
