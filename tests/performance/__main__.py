"""`make bench`: every suite beside its peers, as a table and in build/bench/<suite>.json.

usage: python -m tests.performance [SUITE ...]     no SUITE: all of them, and docs/benchmarks.md is written anew
"""

from __future__ import annotations

import sys

from tests.performance import (
    celery_hooks,
    database,
    http_server,
    log_lines,
    metrics,
    middleware,
    monitoring,
    pg_instructions,
    pg_throughput,
    pg_views,
)
from tests.performance.benchmarks_page import PAGE, page
from tests.performance.report import write

SUITES = {
    "pg_instructions": pg_instructions.rows,
    "pg_throughput": pg_throughput.rows,
    "pg_views": pg_views.rows,
    "middleware": middleware.rows,
    "http_server": http_server.rows,
    "celery_hooks": celery_hooks.rows,
    "database": database.rows,
    "log_lines": log_lines.rows,
    "metrics": metrics.rows,
    "monitoring": monitoring.rows,
}


def main(names: list[str]) -> int:
    """Run the named suites. Returns 2 for a name that is none."""
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"bench: there is no suite {unknown[0]!r}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    measured = {}
    for name in names or SUITES:
        print(f"bench: measuring {name} ...", flush=True)
        measured[name] = SUITES[name]()
        print(f"bench: wrote {write(name, measured[name])}", flush=True)
    if not names:
        PAGE.write_text(page(measured))
        print(f"bench: wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
