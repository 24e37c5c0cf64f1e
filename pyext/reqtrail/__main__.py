"""The command `python -m reqtrail`."""

import argparse
import os
import sys

from reqtrail.metrics._outside import SegmentUnreadableError, read_segment


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit status: 0, 1 for what cannot be read; a wrong usage exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m reqtrail")
    commands = parser.add_subparsers(dest="command", required=True)
    metrics = commands.add_parser("metrics", help="print the metrics of a service from outside, also when it has ended")
    metrics.add_argument("--dir", help="folder of the segment (default: REQTRAIL_METRICS_DIR, else the private one)")
    metrics.add_argument("--service", default=os.environ.get("REQTRAIL_SERVICE") or "reqtrail", help="its name")
    metrics.add_argument("--openmetrics", action="store_true", help="as OpenMetrics, with exemplars")
    options = parser.parse_args(arguments)
    accept = "application/openmetrics-text" if options.openmetrics else ""
    try:
        sys.stdout.buffer.write(read_segment(options.service, options.dir, accept=accept))
        sys.stdout.buffer.flush()
    except SegmentUnreadableError as error:
        print(f"reqtrail: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
