"""A private RabbitMQ."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from devstack.process import ServerProcess, accepts_connections, free_port

# Not the wrapper in /usr/sbin, which insists on the package's own user and folders.
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ:
    """A RabbitMQ node on free ports of 127.0.0.1, with its files in one folder and an epmd of its own.

    epmd, Erlang's register of nodes, is one for the whole host otherwise, and stays when the node that started it ends.
    """

    def __init__(self, directory: Path) -> None:
        """Start it and wait until it takes connections. `directory` is made if needed.

        Raises:
            ServerError: It did not start.
        """
        home = directory.absolute()
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._epmd_port = free_port()
        (home / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        (home / "enabled_plugins").write_text("[].\n")
        (home / "env.conf").touch()
        # Erlang reads the node's cookie from HOME.
        environment = {"HOME": str(home), "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        self.epmd = ServerProcess(["epmd"], log=home / "epmd.log", env=environment)
        self.epmd.await_ready(lambda: accepts_connections(self._epmd_port), "epmd")
        self.process = ServerProcess(
            [_SERVER], log=home / "rabbitmq.log", env={**environment, **self._settings(home)}, cwd=home
        )
        try:
            self.process.await_ready(lambda: accepts_connections(self.port), "rabbitmq-server", timeout=180)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _settings(home: Path) -> dict[str, str]:
        return {
            "RABBITMQ_NODENAME": "reqtrail@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(home / "rabbitmq.pid"),
            # Nodes reach each other over loopback only; no scheduler of Erlang spins while it has nothing to do.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
        }

    @property
    def url(self) -> str:
        """The address as a URL: amqp://guest:guest@127.0.0.1:port//."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def stop(self) -> None:
        """Stop it, and its epmd."""
        self.process.stop(timeout=60)
        self.epmd.stop()

    def __enter__(self) -> RabbitMQ:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
