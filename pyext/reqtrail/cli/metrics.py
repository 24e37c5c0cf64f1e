"""`reqtrail metrics`: the metrics of a service from outside. It needs nothing that an API host does not have."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from reqtrail.cli import exit_codes
from reqtrail.metrics._outside import SegmentUnreadableError, read_segment

SUMMARY = "Print the metrics of a service from outside, also when it has ended."


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; a wrong usage exits with 2."""
    parser = argparse.ArgumentParser(prog="reqtrail metrics", description=SUMMARY)
    parser.add_argument("--dir", help="folder of the segment (default: REQTRAIL_METRICS_DIR, else the private one)")
    parser.add_argument("--service", default=os.environ.get("REQTRAIL_SERVICE") or "reqtrail", help="its name")
    parser.add_argument("--openmetrics", action="store_true", help="as OpenMetrics, with exemplars")
    options = parser.parse_args(arguments)
    accept = "application/openmetrics-text" if options.openmetrics else ""
    try:
        sys.stdout.buffer.write(read_segment(options.service, options.dir, accept=accept))
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SegmentUnreadableError as error:
        print(f"reqtrail: {error}", file=sys.stderr)
        return exit_codes.NEGATIVE
    return exit_codes.OK
