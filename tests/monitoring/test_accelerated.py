"""Fast motion changes durations, and nothing else."""

import re
from typing import Any

import pytest

from tests.monitoring import shipped
from tests.monitoring.accelerated import faster, faster_route, faster_rule

FACTOR = 10
# Everything that is a duration in some rule, in seconds.
ORIGINAL = {"1m": 60, "2m": 120, "5m": 300, "10m": 600, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400}
ORIGINAL["3d"] = 3 * 86400

TIME = re.compile(r"(?<=\[)\w+(?=\])|(?<=offset )\w+|(?<=\], )\d+")


def test_a_duration_is_divided() -> None:
    assert faster("2m", 15) == "8000ms"
    assert faster("1h30m", 100) == "54000ms"


@pytest.mark.parametrize("rule", shipped.rules(), ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_ranges_offsets_and_for_are_divided_and_the_rest_stays(rule: dict[str, Any]) -> None:
    made = faster_rule(rule, FACTOR)
    assert set(made) == set(rule)
    texts = [
        (rule["expr"], made["expr"]),
        *zip(*(r.get("annotations", {}).values() for r in (rule, made)), strict=True),
    ]
    for before, after in texts:
        assert TIME.sub("T", after) == TIME.sub("T", before)
        times = zip(*(re.findall(r"(?:\[|offset )(\w+)", text) for text in (before, after)), strict=True)
        assert all(f"{ORIGINAL[old] * 1000 // FACTOR}ms" == new for old, new in times)
    if "for" in rule:
        assert made["for"] == f"{ORIGINAL[rule['for']] * 1000 // FACTOR}ms"
    assert made.get("labels") == rule.get("labels")


def test_predict_linear_looks_less_far_ahead() -> None:
    rule = {"alert": "A", "expr": "predict_linear(free[6h], 86400) < 0 and free / size < 0.4"}
    assert faster_rule(rule, FACTOR)["expr"] == "predict_linear(free[2160000ms], 8640) < 0 and free / size < 0.4"


def test_routes_wait_less_and_lead_to_the_same_receivers() -> None:
    route = {
        "receiver": "a",
        "group_wait": "30s",
        "routes": [{"receiver": "b", "repeat_interval": "1h", "matchers": ["x=y"]}],
    }
    made = faster_route(route)
    assert made["group_wait"] == "2000ms"
    assert made["routes"] == [{"receiver": "b", "repeat_interval": "240000ms", "matchers": ["x=y"]}]
