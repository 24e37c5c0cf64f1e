"""The table of all panels in docs/monitoring.md, made from the dashboards' files.

usage: python -m tests.monitoring.dashboards.panel_table [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from devstack.postgres_tree import REPOSITORY
from tests.monitoring.dashboards.panel_queries import NAMES, PanelQuery, load, queries_of

DOCUMENT = REPOSITORY / "docs" / "monitoring.md"
_TEST = {
    "promql": "`test_promql_of_a_panel_returns_data`",
    "sql": "`test_sql_of_a_panel_returns_rows_to_the_role_of_grafana`",
    "logql": "`test_a_query_selects_lines_that_the_application_wrote`",
}
_SECTION = re.compile(r"\n## Panels\n.*?(?=\n## |\Z)", re.DOTALL)


def table() -> str:
    """Return the section "Panels" of the document."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "\n## Panels\n"
    yield "Made from the dashboards by `make dashboards`. The tests in `tests/monitoring/dashboards/` run each query\n"
    yield "against servers under load.\n"
    for name in NAMES:
        yield f"\n### {load(name)['title']}\n\n| Panel | Asks | Run by |\n|---|---|---|\n"
        for query in queries_of(name):
            yield f"| {query.panel} | `{_on_one_line(query)}` | {_TEST[query.language]} |\n"


def _on_one_line(query: PanelQuery) -> str:
    return re.sub(r"\s+", " ", query.text).strip().replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the section, or with --check say whether it differs. Returns 1 if it does, 2 for a wrong usage."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    written = DOCUMENT.read_text()
    wanted = _SECTION.sub("", written).rstrip("\n") + "\n" + table()
    if not arguments:
        DOCUMENT.write_text(wanted)
    elif wanted != written:
        print(f"{DOCUMENT.name} differs: run make dashboards", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
