"""The table of all rules in docs/monitoring.md, made from the rule files and the tests.

usage: python -m tests.monitoring.alert_table [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.monitoring import shipped
from tests.monitoring.document import write_section


def table() -> str:
    """Return the section "Alerts" of the document."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "\n## Alerts\n"
    yield "Made from the rules by `make dashboards`. Each alert has a [runbook](runbooks/); "
    yield "[alert-tuning.md](alert-tuning.md) says how\nsoon it arrives. "
    yield "The files of `tests/monitoring/rules/` make each fire and keep quiet, in made-up series;\n"
    yield "`test_incidents.py` runs every rule against the running example, and makes the troubles that name it.\n"
    for file in shipped.RULE_FILES:
        yield f"\n### {file.name}\n\n| Rule | | Expression | `for` | Run by |\n|---|---|---|---|---|\n"
        for group in shipped.load(file)["groups"]:
            for rule in group["rules"]:
                yield _line(rule)


def _line(rule: dict[str, str]) -> str:
    if "record" in rule:
        return f"| `{rule['record']}` | | {_code(rule['expr'])} | | `test_incidents.py` |\n"
    name = rule["alert"]
    severity = shipped.severity(rule)
    cells = [f"[{name}](runbooks/{name}.md)", severity, _code(rule["expr"]), rule.get("for", ""), _tests_of(name)]
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |")


def _code(expression: str) -> str:
    return f"`{' '.join(expression.split())}`".replace("|", "\\|")


def _tests_of(name: str) -> str:
    files = [f"`rules/{file.name}`" for file in shipped.UNIT_TESTS if f"alertname: {name}\n" in file.read_text()]
    return ", ".join([*files, *(["`test_incidents.py`"] if name in shipped.TROUBLES else [])])


if __name__ == "__main__":
    sys.exit(write_section(table(), sys.argv[1:], __doc__))
