"""The modes, with and without tags, in which the hook is compared with no hook."""

from typing import Any

from reqtrail.sql_comment import MODES

TAGS = {"route": "/items/{id}%", "task": lambda: "a */ b"}
HOOKS = (*MODES, "guc with tags", "both with tags")


def hook_options(hook: str) -> dict[str, Any]:
    """What `install` is given for one of HOOKS."""
    mode, _, tags = hook.partition(" with ")
    return {"mode": mode, "tags": TAGS if tags else ()}
