"""The table of all panels in docs/monitoring.md, made from the dashboards' files.

usage: python -m tests.monitoring.dashboards.panel_table [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tests.monitoring.dashboards.panel_queries import NAMES, PanelQuery, load, queries_of
from tests.monitoring.document import write_section

_TEST = {
    "promql": "`test_promql_of_a_panel_returns_data`",
    "sql": "`test_sql_of_a_panel_returns_rows_to_the_role_of_grafana`",
    "logql": "`test_a_query_selects_lines_that_the_application_wrote`",
}


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


if __name__ == "__main__":
    sys.exit(write_section(table(), sys.argv[1:], __doc__))
