"""The /metrics of a host that runs workers: served by one of their main processes, never by the pool's."""

import errno
import logging
from typing import Any

from celery import bootsteps

from reqtrail import metrics
from reqtrail._worker_options import options_of

_logger = logging.getLogger("reqtrail")
_RETRY_SECONDS = 5.0


class MetricsServer(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Serves the metrics where a port is given.

    All workers of a service on this host have the same metrics. So one is enough: who finds the port taken looks again
    from time to time, for the case that the other one ends.
    """

    requires = ("celery.worker.components:Pool",)  # after its processes are there: they have no copy of the socket

    def __init__(self, worker: Any, **_: Any) -> None:
        self._options = options_of(worker.app)
        self._server: Any = None
        self._timer: Any = None
        self._told: set[int | None] = set()

    def include_if(self, worker: Any) -> bool:  # noqa: ARG002 - Celery's signature
        """Tell Celery whether the step is wanted."""
        return self._options.metrics_port is not None

    def start(self, worker: Any) -> None:
        """Begin to serve, or wait for the port."""
        self._serve()
        if self._server is None:
            self._timer = worker.timer.call_repeatedly(_RETRY_SECONDS, self._serve)

    def stop(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Give the port back."""
        self._cancel_timer()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    terminate = stop

    def _serve(self) -> None:
        port, addr = self._options.metrics_port, self._options.metrics_addr
        try:
            self._server, _ = metrics.start_http_server(port or 0, addr)
        except Exception as error:
            self._tell(error, f"{addr}:{port}")
            return
        _logger.info("metrics are served at http://%s:%d/metrics", addr, port)
        self._cancel_timer()

    def _tell(self, error: Exception, place: str) -> None:
        reason = getattr(error, "errno", None)
        if reason in self._told:
            return
        self._told.add(reason)
        if reason == errno.EADDRINUSE:
            _logger.info("metrics are not served by this worker: somebody else listens at %s", place)
        else:
            _logger.error("metrics cannot be served at %s, the worker goes on without: %s", place, error)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
