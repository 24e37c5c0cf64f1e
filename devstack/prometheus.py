"""A private Prometheus that scrapes what it is told, with its exemplar storage switched on."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from devstack.process import ServerError, ServerProcess, answers_ok, free_port


class Prometheus:
    """A Prometheus server on a free port of 127.0.0.1."""

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Sequence[str]] | None = None,
        *,
        configuration: Mapping[str, object] | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
        detached: bool = False,
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            directory: Made if needed; holds its data, configuration and log.
            targets: Job name to the addresses ("host:port") that are scraped each second at /metrics.
            configuration: What prometheus.yml says, in place of a configuration made from `targets`.
            options: Further arguments of the command.
            port: The port; a free one by default.
            detached: Let it live on when this process ends.

        Raises:
            ServerError: It did not start.
        """
        directory.mkdir(parents=True, exist_ok=True)
        jobs = [{"job_name": job, "static_configs": [{"targets": list(at)}]} for job, at in (targets or {}).items()]
        settings = configuration or {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(settings))  # JSON is YAML
        self.port = port or free_port()
        argv: list[str | Path] = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            *options,
        ]
        self.process = ServerProcess(argv, log=directory / "prometheus.log", detached=detached)
        self.process.await_ready(lambda: answers_ok(f"{self.url}/-/ready"), "prometheus")

    @property
    def url(self) -> str:
        """The address of its web interface and API."""
        return f"http://127.0.0.1:{self.port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: each with `metric` (labels) and `value` (time, text).

        Raises ServerError where Prometheus refuses it.
        """
        result: list[dict[str, Any]] = self._api("query", query=expression)["result"]
        return result

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series between two Unix times, `step` seconds apart: each with `metric` and `values`.

        Raises ServerError where Prometheus refuses it.
        """
        parameters = {"query": expression, "start": start, "end": end, "step": step}
        result: list[dict[str, Any]] = self._api("query_range", **parameters)["result"]
        return result

    def exemplars(self, selector: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the exemplars of the series between two Unix times: each with `seriesLabels` and `exemplars`."""
        result: list[dict[str, Any]] = self._api("query_exemplars", query=selector, start=start, end=end)
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule: `name`, `type`, `health`, `lastError`, and of alerts `state` and `alerts`."""
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _api(self, endpoint: str, **parameters: object) -> Any:
        address = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310 - our own server
            answer = json.load(response)
        if answer["status"] != "success":
            raise ServerError(f"prometheus refused {endpoint}: {answer}")
        return answer["data"]
