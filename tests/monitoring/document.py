"""The sections of docs/monitoring.md that are made from the files that they describe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from devstack.postgres_tree import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "monitoring.md"


def write_section(section: str, arguments: Sequence[str], usage: str | None) -> int:
    """Write the section anew, or with --check say whether it differs.

    Args:
        section: Its text, which begins with its heading of the second level.
        arguments: Those of the command: none, or "--check".
        usage: What is printed for other arguments.

    Returns:
        The exit status: 1 if it differs or the document has no such heading, 2 for a wrong usage.
    """
    if arguments not in ([], ["--check"]):
        print(usage, file=sys.stderr)
        return 2
    heading = section.strip().partition("\n")[0]
    written = DOCUMENT.read_text()
    made = section.rstrip("\n") + "\n"
    wanted, found = re.subn(rf"\n{re.escape(heading)}\n.*?(?=\n## |\Z)", lambda _: made, written, flags=re.DOTALL)
    if found != 1:
        print(f"{DOCUMENT.name} needs the heading {heading!r}, once", file=sys.stderr)
        return 1
    wanted = wanted.rstrip("\n") + "\n"
    if not arguments:
        DOCUMENT.write_text(wanted)
    elif wanted != written:
        print(f"{DOCUMENT.name} differs: run make dashboards", file=sys.stderr)
        return 1
    return 0
