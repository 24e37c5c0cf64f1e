"""What counting and scraping cost, in the segment and in prometheus_client (single and multiprocess), in one run.

Counting is measured in short rounds of which the fastest counts, which a busy machine disturbs least; with 16
processes at once it is CPU time that is measured, because they share the cores. prometheus_client chooses its
multiprocess mode when it is imported, so that it runs in processes of its own: this file, called with arguments.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import reqtrail
from reqtrail import metrics
from tests.performance.report import BENCH, BenchRow, write

ROUNDS = 100
CALLS = 2000
PROCESSES = 16
DEAD_PROCESSES = 1000
HISTOGRAMS = 350
COUNTERS = 1050
ID = "0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1"
GIVEN = {
    "given": "histogram.observe(0.042, exemplar=labels)",
    "given anew": "histogram.observe(0.042, exemplar={'trace_id': ID})",
}
COMMAND = "build/venv/bin/python -m tests.performance metrics"
BENCHMARK = BENCH.parent / "dev" / "metrics_benchmark"

Call = Callable[[], object]


def _nanoseconds(calls: dict[str, str], scope: dict[str, Any], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """The rounds of each statement, without what the loop itself takes."""
    compiled = {}
    for name, statement in {"": "pass", **calls}.items():
        local = {**scope, "clock": time.perf_counter_ns, "calls": range(CALLS)}
        exec(f"def run():\n begin = clock()\n for _ in calls: {statement}\n return clock() - begin", local)
        compiled[name] = local["run"]
    measured: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(rounds):
        for name, run in compiled.items():
            measured[name].append(run() / CALLS)
    loop = min(measured.pop(""))
    return {name: [value - loop for value in values] for name, values in measured.items()}


def _counting(library: Any, **where: Any) -> tuple[dict[str, str], dict[str, Any]]:
    counter = library.Counter("hits", "Hits", ["method", "handler"], **where)
    scope = {
        "counter": counter,
        "child": counter.labels("GET", "/items/{id}"),
        "histogram": library.Histogram("wait_seconds", "Wait", **where),
        "labels": {"trace_id": ID},
        "ID": ID,
    }
    return {
        "inc": "child.inc()",
        "labels": "counter.labels('GET', '/items/{id}').inc()",
        "observe": "histogram.observe(0.042)",
    }, scope


def _fill(library: Any, **where: Any) -> None:
    """Make about 7,000 lines."""
    counter = library.Counter("lines", "Lines", ["number"], **where)
    histogram = library.Histogram("line_seconds", "Lines", ["number"], **where)
    for number in range(COUNTERS):
        counter.labels(number).inc()
    for number in range(HISTOGRAMS):
        histogram.labels(number).observe(0.1)


def _milliseconds(scrape: Call, rounds: int) -> list[float]:
    measured = []
    for _ in range(rounds):
        begin = time.perf_counter()
        scrape()
        measured.append((time.perf_counter() - begin) * 1000)
    return measured


def _in_children(count: int, work: Callable[[], float | None]) -> list[float]:
    """Run `work` in forked children at once, which stay until all are through; what they return."""
    reader, writer = os.pipe()
    start_reader, start_writer = os.pipe()
    children = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(start_writer)
            os.read(start_reader, 1)  # until all are there
            os.write(writer, f"{work() or 0}\n".encode())
            os._exit(0)
        children.append(pid)
    os.close(start_writer)
    os.close(start_reader)
    os.close(writer)
    for pid in children:
        os.waitpid(pid, 0)
    with os.fdopen(reader) as results:
        return [float(line) for line in results]


def _cpu_nanoseconds(inc: Call, calls: int) -> float:
    """CPU time of one call, without its loop."""
    rounds = []
    for _ in range(10):
        begin = time.process_time_ns()
        for _ in range(calls):
            pass
        loop_end = time.process_time_ns()
        for _ in range(calls):
            inc()
        rounds.append((time.process_time_ns() - loop_end - (loop_end - begin)) / calls)
    return sorted(rounds)[len(rounds) // 2]


def _hammering(inc: Call, calls: int) -> tuple[float, float]:
    """CPU nanoseconds of a call by one process, and by each of 16 at once."""
    (alone,) = _in_children(1, lambda: _cpu_nanoseconds(inc, calls))
    together = sorted(_in_children(PROCESSES, lambda: _cpu_nanoseconds(inc, calls)))
    return alone, together[len(together) // 2]


def _peer(mode: str) -> dict[str, Any]:
    """What prometheus_client takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, **({"PROMETHEUS_MULTIPROC_DIR": directory} if mode == "multiprocess" else {})}
        argv = [sys.executable, "-m", "tests.performance.metrics", mode]
        done = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measure_prometheus_client(mode: str) -> dict[str, Any]:
    import prometheus_client
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = prometheus_client.CollectorRegistry()
    statements, scope = _counting(prometheus_client, registry=registry)
    if mode == "single":
        statements |= GIVEN  # its multiprocess mode has no exemplars
    best: dict[str, Any] = {name: min(values) for name, values in _nanoseconds(statements, scope, rounds=10).items()}
    best["hammering"] = _hammering(scope["child"].inc, 2000)
    _fill(prometheus_client, registry=registry)
    if mode == "multiprocess":
        _in_children(PROCESSES - 1, lambda: _fill_again(prometheus_client))
        registry = prometheus_client.CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped there
    best["scrape"] = min(_milliseconds(lambda: prometheus_client.generate_latest(registry), 2))
    if mode == "multiprocess":
        # From a process that has nothing else: prometheus_client writes all that a process has anew after a fork.
        subprocess.run([sys.executable, "-m", "tests.performance.metrics", "end"], check=True)
        best["scrape with dead"] = min(_milliseconds(lambda: prometheus_client.generate_latest(registry), 2))
    return best


def _end_processes(depth: Any) -> None:
    """Let 1,000 processes come, count and end."""
    for _ in range(DEAD_PROCESSES // 50):
        _in_children(50, depth.inc)


def _end_processes_of_prometheus_client() -> None:
    import prometheus_client

    _end_processes(prometheus_client.Gauge("depth", "A part for each process", multiprocess_mode="livesum"))


def _fill_again(library: Any) -> None:
    """The same series from another process, as every worker makes them."""
    _fill(library, registry=library.CollectorRegistry())


def _row(name: str, unit: str, rounds: list[float], goal: float | None, peers: dict[str, float]) -> BenchRow:
    ours = min(rounds)
    fifths = [min(rounds[part::5]) for part in range(5)] if len(rounds) >= 5 else rounds
    return {
        "name": name,
        "unit": unit,
        "ours": round(ours, 2),
        "goal": goal,
        "better": "lower",
        "peers": {peer: round(value, 2) for peer, value in peers.items()},
        "spread": round((max(fifths) - min(fifths)) / 2 / ours, 3),
        "command": COMMAND,
    }


def _counting_rows(segment: metrics.Segment, peers: dict[str, dict[str, Any]]) -> list[BenchRow]:
    statements, scope = _counting(metrics, segment=segment)
    without = _nanoseconds(statements, scope)
    token = reqtrail.set_request_id(ID)
    try:
        with_id = _nanoseconds({"inc": statements["inc"]}, scope)
    finally:
        reqtrail.reset_request_id(token)
    given = _nanoseconds(GIVEN, scope)
    names = {"inc": ("inc() on a child", 40), "labels": ("labels().inc()", 150), "observe": ("observe()", 60)}
    rows = [
        _row(f"metrics: {name}", "ns", without[key], goal, {peer: values[key] for peer, values in peers.items()})
        for key, (name, goal) in names.items()
    ]
    added = [value - min(without["inc"]) for value in with_id["inc"]]
    rows.append(_row("metrics: the request id as exemplar, added to inc()", "ns", added, 60, {}))
    with_exemplars = {peer: values for peer, values in peers.items() if "given" in values}
    for key, name, goal in (("given", "", 60), ("given anew", ", its dict made anew", None)):
        added = [value - min(without["observe"]) for value in given[key]]
        theirs = {peer: values[key] - values["observe"] for peer, values in with_exemplars.items()}
        rows.append(_row(f"metrics: an exemplar that is given, added to observe(){name}", "ns", added, goal, theirs))
    alone, together = _hammering(scope["child"].inc, 20_000)
    theirs = {f"{peer}, 16": values["hammering"][1] for peer, values in peers.items()}
    one = {"reqtrail, 1 process": alone, **{f"{peer}, 1": values["hammering"][0] for peer, values in peers.items()}}
    rows.append(_row("metrics: inc() of 16 processes on one series", "ns of CPU", [together], 40, one | theirs))
    return rows


def _scrape_rows(directory: str, peers: dict[str, dict[str, Any]]) -> list[BenchRow]:
    segment = metrics.open_segment("bench", directory)
    _fill(metrics)
    lines = len(segment.render()[0].splitlines())
    depth = metrics.Gauge("depth", "A part for each process")
    living = _in_children_alive(depth, metrics.generate_latest)
    theirs = {peer: values["scrape"] for peer, values in peers.items()}
    rows = [_row(f"metrics: scrape of {lines} lines, 16 processes", "ms", living, 5, theirs)]
    _end_processes(depth)
    with_dead = _in_children_alive(depth, metrics.generate_latest)
    theirs = {peer: values["scrape with dead"] for peer, values in peers.items() if "scrape with dead" in values}
    rows.append(_row(f"metrics: the same after {DEAD_PROCESSES:,} more ended", "ms", with_dead, 5, theirs))
    return rows


def _in_children_alive(depth: metrics.Gauge, scrape: Call) -> list[float]:
    """Milliseconds of a scrape while 15 children live."""
    reader, writer = os.pipe()
    children = []
    for _ in range(PROCESSES - 1):
        pid = os.fork()
        if pid == 0:
            depth.inc()
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        children.append(pid)
    depth.inc()
    measured = _milliseconds(scrape, 50)
    os.close(writer)
    os.close(reader)
    for pid in children:
        os.waitpid(pid, 0)
    return measured


def _cpp_rows() -> list[BenchRow]:
    """The segment without Python, beside prometheus-cpp (Google Benchmark)."""
    argv = [str(BENCHMARK), "--benchmark_format=json", "--benchmark_min_time=0.05", "--benchmark_repetitions=5"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    rounds: dict[str, list[float]] = {}
    for run in json.loads(done.stdout)["benchmarks"]:
        if run["run_type"] == "iteration":
            rounds.setdefault(run["run_name"].split("/")[0] + f"/{run['threads']}", []).append(run["cpu_time"])
    rows = []
    for what, threads in (("Counter", 1), ("Counter", 2), ("Labels", 1), ("Histogram", 1), ("Histogram", 2)):
        theirs = min(rounds[f"{what}InPrometheusCpp/{threads}"])
        name = f"metrics, C++: {what.lower()}, {threads} thread{'s' * (threads > 1)}"
        ours = rounds[f"{what}InSegment/{threads}"]
        rows.append(_row(name, "ns of CPU", ours, None, {"prometheus-cpp 1.0.1": theirs}))
    return [*rows, _row("metrics, C++: counter with an exemplar", "ns of CPU", rounds["ExemplarInSegment/1"], None, {})]


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about a minute."""
    client = f"prometheus_client {version('prometheus-client')}"
    peers = {f"{client} single": _peer("single"), f"{client} multiprocess": _peer("multiprocess")}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        counting = _counting_rows(metrics.Segment("counting", directory), peers)
        # The service's processes are this process's own segment's, so that these run apart from what others opened.
        argv = [sys.executable, "-m", "tests.performance.metrics", "scrape", directory, json.dumps(peers)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
    scraping: list[BenchRow] = json.loads(done.stdout.splitlines()[-1])
    return [*counting, *scraping, *_cpp_rows()]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scrape", directory, peers]:
            print(json.dumps(_scrape_rows(directory, json.loads(peers))))
        case ["end"]:
            _end_processes_of_prometheus_client()
        case [("single" | "multiprocess") as mode]:
            print(json.dumps(_measure_prometheus_client(mode)))
        case _:
            write("metrics", rows())
