"""An hour of normal load, made from half a minute of it, as a unit test for promtool."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from devstack.prometheus import Prometheus
from tests.monitoring import shipped
from tests.monitoring.selectors import selectors

RECORDED_SECONDS = 30
_SCRAPES = 240  # in an hour, one every 15 s
_COUNTERS = ("_total", "_bucket", "_sum", "_count")


def recorded_selectors() -> set[str]:
    """What the rules read, but for what the rules themselves record."""
    names = {rule["record"] for rule in shipped.rules() if "record" in rule}
    read = set().union(*(selectors(rule["expr"]) for rule in shipped.rules()))
    return {selector for selector in read if selector.partition("{")[0] not in names}


def record(prometheus: Prometheus) -> dict[str, list[float]]:
    """Return three values of each series, 15 seconds apart: now, and before.

    Series that were not there all the time are left out.
    """
    series: dict[str, list[float]] = {}
    for selector in recorded_selectors():
        for found in prometheus.query(f"{selector}[{RECORDED_SECONDS + 2}s]"):
            samples = [(float(time), float(value)) for time, value in found["values"]]
            end = samples[-1][0]
            if end - samples[0][0] >= RECORDED_SECONDS - 2:
                values = [_value_at(samples, end - age) for age in (RECORDED_SECONDS, RECORDED_SECONDS // 2, 0)]
                series[_name(found["metric"])] = values
    return series


def _value_at(samples: Iterable[tuple[float, float]], time: float) -> float:
    return min(samples, key=lambda sample: abs(sample[0] - time))[1]


def _name(metric: dict[str, str]) -> str:
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in metric.items() if name != "__name__")
    return f"{metric['__name__']}{{{labels}}}"


def _hour(name: str, recorded: list[float]) -> str:
    """The values of an hour: a counter goes on as it did, a gauge repeats itself."""
    first, middle, last = recorded
    if name.partition("{")[0].endswith(_COUNTERS):
        steps = [middle - first, last - middle]
        values = [first]
        for scrape in range(_SCRAPES):
            values.append(values[-1] + steps[scrape % 2])
    else:
        values = [recorded[scrape % 3] for scrape in range(_SCRAPES + 1)]
    return " ".join(f"{value:.6g}" for value in values)


def write_unit_test(recorded: dict[str, list[float]], folder: Path) -> Path:
    """Write the unit test: in an hour like this, no alert but the watchdog is even pending."""
    alerts: list[dict[str, Any]] = [
        {"expr": 'count(count_over_time(ALERTS{alertname!="Watchdog"}[1h]))', "eval_time": "1h", "exp_samples": []},
        # The rules were evaluated, and the load was there.
        {
            "expr": 'count_over_time(ALERTS{alertname="Watchdog"}[1h]) > bool 230',
            "eval_time": "1h",
            "exp_samples": [_ONE],
        },
        {
            "expr": "sum(rate(http_requests_total[1h])) > bool 1",
            "eval_time": "1h",
            "exp_samples": [{"labels": "{}", "value": 1}],
        },
    ]
    test = {
        "rule_files": [str(file) for file in shipped.RULE_FILES],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": _hour(name, values)} for name, values in recorded.items()],
                "promql_expr_test": alerts,
            }
        ],
    }
    file = folder / "quiet_hour.yml"
    file.write_text(yaml.safe_dump(test, width=1_000_000))
    return file


_ONE = {
    "labels": '{alertname="Watchdog", alertstate="firing", component="instruments", severity="none"}',
    "value": 1,
}
