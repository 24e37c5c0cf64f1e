"""How many messages are ready in the queues of a worker, asked of the broker by its main process now and then."""

from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError
from kombu.transport import virtual

from reqtrail._faults import report_fault
from reqtrail._task_hooks import hooks
from reqtrail._worker_options import options_of

_PATIENCE_SECONDS = 2.0
_TIMEOUTS = {
    "redis": {"socket_timeout": _PATIENCE_SECONDS, "socket_connect_timeout": _PATIENCE_SECONDS},
    "amqp": {"read_timeout": _PATIENCE_SECONDS, "write_timeout": _PATIENCE_SECONDS},
}


class _Broker:
    """A connection for this alone: an AMQP channel ends when it is asked for a queue that is not there."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._connection: Any = None

    def ready_messages(self, queue: str) -> int | None:
        """Return how many messages are ready, of all priorities; None where the broker cannot tell.

        Raises ConnectionError when the broker cannot be reached.
        """
        connection = self._connected()
        try:
            with connection.channel() as channel:
                return _ready_in(channel, queue)
        except connection.channel_errors:
            return None  # there is no such queue
        except (OperationalError, *connection.connection_errors) as error:
            raise ConnectionError(str(error)) from error

    def _connected(self) -> Any:
        if self._connection is None:
            timeouts = _TIMEOUTS.get(self._app.connection_for_read().transport.driver_type, {})
            self._connection = self._app.connection_for_read(
                connect_timeout=_PATIENCE_SECONDS, transport_options=timeouts
            )
        return self._connection

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def _ready_in(channel: Any, queue: str) -> int | None:
    channel_type: Any = type(channel)
    if not issubclass(channel_type, virtual.Channel):
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    if channel_type._size is virtual.Channel._size:
        return None  # which says 0, whatever there is
    return int(channel._size(queue))


class QueueDepths(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """While the worker is connected to the broker: no signal tells when the connection comes and goes."""

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._known: set[str] = set()
        self._timer: Any = None
        self._stopped = False
        self._broker = _Broker(consumer.app)
        self._interval = options_of(consumer.app).queue_depth_interval

    def start(self, consumer: Any) -> None:
        """Ask at once, and then at each interval, on the worker's own timer."""
        if self._interval is None:
            return
        self._stopped = False
        consumer.timer.call_after(0, self._ask, (consumer,))
        self._timer = consumer.timer.call_repeatedly(self._interval, self._ask, (consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Stop asking. What was known is no more.

        With a pool of greenlets it may come in the middle of `_ask`, which then fails at its connection.
        """
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._forget()

    shutdown = stop

    def _ask(self, consumer: Any) -> None:
        try:
            for queue in list(consumer.app.amqp.queues.consume_from.values()):
                if not queue.auto_delete:  # such as those of broadcasts, of which each worker has one of its own
                    self._show(queue.name, self._broker.ready_messages(queue.name))
        except ConnectionError:
            self._forget()  # the worker itself says that the broker is gone
        except Exception as error:
            self._forget()
            if not self._stopped:
                report_fault("celery queue depth", error)

    def _show(self, queue: str, messages: int | None) -> None:
        if self._stopped:
            raise ConnectionError("the worker stopped meanwhile")
        hooks.queue_depth(queue, messages)
        self._known.add(queue)

    def _forget(self) -> None:
        self._broker.close()
        for queue in self._known:
            hooks.queue_depth(queue, None)
