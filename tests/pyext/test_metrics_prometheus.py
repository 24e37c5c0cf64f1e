"""What a real Prometheus makes of the metrics."""

import time
from pathlib import Path

from devstack.prometheus import Prometheus
from reqtrail import reset_request_id, set_request_id
from reqtrail.metrics import Counter, Enum, Gauge, Histogram, Segment, start_http_server


def test_a_real_prometheus_stores_values_and_exemplars(tmp_path: Path) -> None:
    segment = Segment("test", str(tmp_path / "segment"))
    counter = Counter("jobs", "Jobs", ["queue"], segment=segment)
    seconds = Histogram("job_seconds", "Time", segment=segment)
    Gauge("depth", 'A "depth" \\ \n of ünits', segment=segment).set(-2.5)
    Enum("phase", "Phase", states=["a", "b"], segment=segment).state("b")
    server, _ = start_http_server(0, segment=segment)
    start = time.time()
    try:
        with Prometheus(tmp_path / "prometheus", {"reqtrail": [f"127.0.0.1:{server.server_port}"]}) as prometheus:
            token = set_request_id("req-of-the-job")
            counter.labels('ma"il\\ \n ü').inc(3)
            seconds.observe(0.3)
            reset_request_id(token)
            deadline = time.monotonic() + 60
            exemplars: dict[str, str] = {}
            while time.monotonic() < deadline and len(exemplars) < 2:
                for name in ("jobs_total", "job_seconds_bucket"):
                    for series in prometheus.exemplars(name, start - 60, time.time() + 60):
                        exemplars[name] = series["exemplars"][0]["labels"]["request_id"]
                time.sleep(0.2)
            assert exemplars == {"jobs_total": "req-of-the-job", "job_seconds_bucket": "req-of-the-job"}
            assert [(s["metric"]["queue"], s["value"][1]) for s in prometheus.query("jobs_total")] == [
                ('ma"il\\ \n ü', "3")
            ]
            assert prometheus.query("up")[0]["value"][1] == "1"
            assert prometheus.query("depth")[0]["value"][1] == "-2.5"
            assert {s["metric"]["phase"]: s["value"][1] for s in prometheus.query("phase")} == {"a": "0", "b": "1"}
            assert prometheus.query('job_seconds_bucket{le="0.5"}')[0]["value"][1] == "1"
    finally:
        server.shutdown()
        server.server_close()
