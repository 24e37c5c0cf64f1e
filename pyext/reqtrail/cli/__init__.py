"""The command `reqtrail`: what is known of a request, in one place. No application imports it."""

from __future__ import annotations

import sys

from reqtrail.cli import exit_codes, metrics

_EXTRA = ("typer", "rich", "httpx", "psycopg", "tomli")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: see exit_codes.py."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        from reqtrail.cli.app import run
    except ImportError as error:
        # psycopg is of no use without libpq, which its binary package has in it.
        if (error.name or "").partition(".")[0] not in _EXTRA and "pq wrapper" not in str(error):
            raise
        if given[:1] == ["metrics"]:
            return metrics.main(given[1:])
        print(f"reqtrail: {error.name or 'libpq'} is missing. Run: pip install 'reqtrail[cli]'", file=sys.stderr)
        return exit_codes.USAGE
    return run(given)
