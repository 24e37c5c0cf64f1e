from collections.abc import Iterator

import pytest

from tests.monitoring.dashboards.watched_application import BlockedRequests, WatchedApplication


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedApplication]:
    application = WatchedApplication(tmp_path_factory.mktemp("watched"))
    try:
        application.load()
        with BlockedRequests(application.stack):
            yield application
    finally:
        application.stop()
