"""The documents and the examples in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from devstack.postgres_tree import REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "examples").rglob("*.md")),
]
_BLOCK = re.compile(
    r"(?:<!-- (?P<purpose>[^>]*) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """A block of code in a document."""

    document: Path
    line: int
    language: str
    text: str
    purpose: str
    """What a comment right before it says: `file: shop.py`; "" without one."""


def examples(document: Path) -> list[Example]:
    """The blocks of code of a document, in their order, without the indentation of the list that they are in."""
    text = document.read_text()
    return [
        Example(
            document,
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.M),
            (found["purpose"] or "").strip(),
        )
        for found in _BLOCK.finditer(text)
    ]
