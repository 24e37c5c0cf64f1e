"""A real browser without a screen."""

from __future__ import annotations

import subprocess
from pathlib import Path

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)


def opened(page: Path, profile: Path, *flags: str) -> str:
    """Open a page, wait until it is drawn, and return what the command prints.

    Every address but the page's own file leads nowhere: what it asks of the network shows in its log as an error.
    """
    ended = subprocess.run(
        [
            "chromium",
            *_FLAGS,
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            *flags,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    console = [line for line in ended.stderr.splitlines() if ":CONSOLE" in line]
    assert console == [], console
    return ended.stdout
