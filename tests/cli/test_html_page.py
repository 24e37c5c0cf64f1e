"""`reqtrail trace --html`: the page as a browser sees it, and that nothing from a log gets into its structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from reqtrail.cli.causes import Limits
from reqtrail.cli.html_page import html_page
from reqtrail.cli.sources import Found
from reqtrail.cli.timeline import Event, StatementTotal
from reqtrail.cli.trail import Trail, gather
from tests.cli.chromium import opened
from tests.cli.command import Command, Done
from tests.cli.conftest import Site

START = datetime(2026, 11, 24, 3, 0, 0, 0, timezone.utc)
VOID = frozenset({"meta"})
ATTRIBUTES_THAT_LOAD = ("src", "href", "srcset", "action", "data", "poster", "background")


class Page(HTMLParser):
    """The structure of a page: its elements in order, with their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def trail_of(events: Sequence[Event], statements: Sequence[StatementTotal] = (), name: str = "test") -> Trail:
    class Source:
        kind = "logs"

        def __init__(self) -> None:
            self.name = name

        def collect(self, request_id: str) -> Found:
            return Found(events, statements, note=name)

    return gather("r-1", [Source()], Limits())


def test_a_browser_shows_bars_and_labels_and_asks_nobody(
    site: Site, client: httpx.Client, run_until: Callable[..., Done], run: Command, tmp_path: Path
) -> None:
    request_id = client.post("/api/v1/repositories/6/sync").headers["X-Request-ID"]
    arguments = ("trace", request_id, "--dsn", site.dsn, *site.application_logs)
    run_until(lambda done: "task" in done.out and "SUCCESS" in done.out, *arguments)
    page = tmp_path / "trail.html"
    assert run(*arguments, "--html", page).code == 0
    dom = Page(opened(page, tmp_path / "profile", "--dump-dom"))
    bars = {str(bar["aria-label"]).split()[0]: bar for bar in dom.of_class("bar")}
    assert {"request", "task", "database", "log"} <= set(bars)
    assert all(bar["role"] == "img" for bar in bars.values())
    assert "left:" in str(bars["task"]["style"])
    assert request_id in dom.text
    assert "POST /api/v1/repositories/{id}/sync 202" in dom.text
    assert "commandcenter.sync_repository SUCCESS" in dom.text
    assert "Where the time went" in dom.text
    assert not {"script", "img", "link", "iframe", "object"} & set(dom.tags)
    assert not [name for _, attributes in dom.elements for name in attributes if name in ATTRIBUTES_THAT_LOAD]
    picture = tmp_path / "trail.png"
    opened(page, tmp_path / "profile", f"--screenshot={picture}", "--window-size=1280,900")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_bars_are_where_their_times_are() -> None:
    ends = START + timedelta(milliseconds=1000)
    events = [
        Event("request", "GET /", "test", START, ends),
        Event(
            "statement", "SELECT 1", "test", START + timedelta(milliseconds=250), START + timedelta(milliseconds=750)
        ),
        Event("log", "said", "test", START + timedelta(milliseconds=500)),
    ]
    request, statement, log = Page(html_page(trail_of(events))).of_class("bar")
    assert request["style"] == "left:min(0.000%, 100% - 3px);width:100.000%"
    assert statement["style"] == "left:min(25.000%, 100% - 3px);width:50.000%"
    assert statement["aria-label"] == "statement SELECT 1: from 250 ms, took 500 ms"
    assert (log["style"], log["aria-label"]) == ("left:50.000%", "log said: from 500 ms")


def test_a_request_of_which_nothing_is_known_has_a_page_too() -> None:
    page = Page(html_page(trail_of([])))
    assert "nothing is known of this request" in page.text
    assert page.of_class("bar") == []


HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></main><h1>",
        "<!--",
        "]]>",
        "&lt;",
        "javascript:alert(1)",
        "\x00\x1b[31m\u202e\ud800",
    ]
)


def page_with(text: str) -> Page:
    """A page in which every text from outside is this one (none is empty: what is empty is left out)."""
    text = f"x{text}"
    details = {"task": text, "state": "SUCCESS", "exception": text, "status_code": 500, text: [text, {text: text}]}
    held = {"holder_pids": [1], "held_by": [text], "lock": text}
    later = START + timedelta(seconds=5)
    events = [
        Event("request", text, text, START, START + timedelta(seconds=1), failed=True, details=details),
        Event("task", text, text, later, later + timedelta(seconds=1), details=details),
        Event(
            "error", text, text, START, failed=True, details={"logger": "reqtrail.error", "sqlstate": text, **details}
        ),
        Event("lock", text, text, START, later, details=held),
        Event("exemplar", text, text, START, details={"series": {"__name__": text}, "value": 1.0}),
    ]
    return Page(html_page(trail_of(events, [StatementTotal(None, 20, 1.0, 1.0, 1, text)], name=text)))


@given(HOSTILE)
def test_no_text_from_outside_changes_the_structure(text: str) -> None:
    expected, page = page_with("harmless"), page_with(text)
    assert page.tags == expected.tags
    for (_, attributes), (_, known) in zip(page.elements, expected.elements, strict=True):
        assert attributes.keys() == known.keys()
        assert attributes.get("style") == known.get("style")
        assert attributes.get("class") == known.get("class")
