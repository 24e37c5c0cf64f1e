"""The metrics over HTTP, in a registry of prometheus_client, and seen from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client import Gauge as TheirGauge
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reqtrail.metrics import Collector, Segment, render

OPENMETRICS = "application/openmetrics-text"


def run(code_or_module: list[str], directory: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "REQTRAIL_METRICS_DIR": str(directory)}
    return subprocess.run([sys.executable, *code_or_module], env=environment, capture_output=True, timeout=60)


def test_a_collector_shows_the_segment_in_their_registry(segment: Segment) -> None:
    registry = CollectorRegistry()
    registry.register(Collector(segment))
    TheirCounter("theirs", "Theirs", registry=registry).inc()
    text = generate_latest(registry)
    assert b'hits_total{a="x"} 3.0\n' in text
    assert b"theirs_total 1.0\n" in text
    assert b'# {request_id="abc"}' in generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # untyped there


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_their_registry_is_included_and_ours_wins(segment: Segment, accept: str) -> None:
    registry = CollectorRegistry()
    TheirGauge("theirs", "Theirs", registry=registry).set(5)
    TheirCounter("hits", "Another", registry=registry).inc(99)
    body = render(accept, segment=segment, include=registry)[0].decode()
    assert "theirs 5.0\n" in body
    assert "99" not in body
    if accept:
        assert "theirs" in [family.name for family in text_string_to_metric_families(body)]  # type: ignore[no-untyped-call]  # untyped there


def test_prometheus_client_is_asked_for_by_name(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match="pip install prometheus-client"):
        Collector(segment)


PROCESSES = """
import os, re
from reqtrail.metrics import *
open_segment()
read = lambda: dict(re.findall(r"^(process_[a-z_]+) (.*)$", render()[0].decode(), re.M))
alone = read()
pid = os.fork()
if pid == 0:
    deadline = sum(os.times()[:2]) + 0.3
    while sum(os.times()[:2]) < deadline: pass
    with_child = read()
    assert float(with_child["process_resident_memory_bytes"]) > float(alone["process_resident_memory_bytes"])
    assert float(with_child["process_cpu_seconds_total"]) >= float(alone["process_cpu_seconds_total"]) + 0.25
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
after = read()
assert float(after["process_cpu_seconds_total"]) >= float(alone["process_cpu_seconds_total"]) + 0.25, (alone, after)
assert after["process_start_time_seconds"] == alone["process_start_time_seconds"]
assert set(after) == {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
                      "process_start_time_seconds", "process_open_fds", "process_max_fds"}
body = render()[0]
assert b"python_info{" in body and b"reqtrail_internal" not in body
assert render("application/openmetrics-text")[0].endswith(b"# EOF\\n")
"""


def test_process_metrics_are_sums_and_cpu_time_never_falls(tmp_path: Path) -> None:
    done = run(["-c", PROCESSES], tmp_path)
    assert done.returncode == 0, done.stderr.decode()


class TestFromOutside:
    def test_a_dead_service_is_shown_and_left_as_it_is(self, tmp_path: Path) -> None:
        code = "from reqtrail.metrics import *; open_segment(); Counter('hits', 'Hits').inc(7)"
        assert run(["-c", code], tmp_path).returncode == 0
        file = tmp_path / "reqtrail.metrics"
        before = (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns, sorted(tmp_path.iterdir()))
        for _ in range(2):
            done = run(["-m", "reqtrail", "metrics"], tmp_path)
            assert done.returncode == 0, done.stderr
            assert b"hits_total 7\n" in done.stdout
            assert b"reqtrail_internal" not in done.stdout
        assert before == (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns, sorted(tmp_path.iterdir()))

    def test_what_cannot_be_read_is_said(self, tmp_path: Path) -> None:
        missing = run(["-m", "reqtrail", "metrics", "--dir", str(tmp_path / "no")], tmp_path)
        assert (missing.returncode, missing.stdout) == (1, b"")
        assert b"no such folder" in missing.stderr
        (tmp_path / "foreign.metrics").write_bytes(b"not a segment" * 100)
        foreign = run(["-m", "reqtrail", "metrics", "--service", "foreign"], tmp_path)
        assert foreign.returncode == 1
        assert b"no metrics segment of this version" in foreign.stderr
        unknown = run(["-m", "reqtrail", "metrics", "--service", "other"], tmp_path)
        assert unknown.returncode == 1
        assert b"services there: foreign" in unknown.stderr
        assert run(["-m", "reqtrail"], tmp_path).returncode == 2
