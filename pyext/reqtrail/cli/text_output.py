"""A trail as text for a terminal, with a waterfall."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from reqtrail.cli.timeline import Event, Gap, Timeline, milliseconds
from reqtrail.cli.trail import SOURCE_KINDS, Trail
from reqtrail.cli.wording import duration_text

_BAR_WIDTHS = ((100, 24), (72, 12), (0, 0))
"""From so many columns of a terminal on, the bars of the waterfall are so wide: the words need the room more."""
_STYLES = {
    "request": "cyan",
    "task": "magenta",
    "database": "blue",
    "statement": "blue",
    "lock": "yellow",
    "log": "dim",
}
_FULL, _THIN, _MOMENT = "█", "▏", "◆"
_STATE_STYLES = {"read": "green", "failed": "red", "not given": "dim"}


def print_trail(trail: Trail, to: Console) -> None:
    """Print the whole trail."""
    to.print(_heading(trail))
    if trail.found:
        to.print(_causes(trail))
        bar_width = next(width for columns, width in _BAR_WIDTHS if to.width >= columns)
        to.print(_waterfall(trail.timeline, bar_width))
        exemplars = trail.timeline.of_kind("exemplar")
        parts: list[RenderableType] = [_time_spent(trail)]
        if exemplars:
            parts.insert(0, _exemplars(exemplars))
        if trail.statements:
            parts.insert(0, _statements(trail))
        for part in parts:
            to.print()
            to.print(part)
    to.print(_sources(trail))


def _heading(trail: Trail) -> RenderableType:
    first = Text.assemble(("request ", "bold"), (trail.request_id, "bold cyan"))
    start = trail.timeline.start
    if start is None:
        return Group(first, Text("nothing is known of this request", "bold red" if trail.readable else "bold"))
    when = f"{start:%Y-%m-%d %H:%M:%S}.{start.microsecond // 1000:03d} UTC"
    return Group(
        first, Text(f"{when}, {duration_text(trail.timeline.duration_ms)} from the first event to the last", "dim")
    )


def _causes(trail: Trail) -> RenderableType:
    if not trail.causes:
        return Text.assemble(
            "\n", ("nothing stands out: ", "bold green"), "no failure, no wait, no N+1, nothing slow\n"
        )
    parts: list[RenderableType] = [Text("")]
    for number, cause in enumerate(trail.causes):
        label, style = ("likely cause ", "bold red") if number == 0 else ("also         ", "bold yellow")
        parts.append(_indented(label, style, cause.title, "bold"))
        if cause.evidence:
            parts.append(_indented("", "", cause.evidence, ""))
        parts.append(_indented("", "", f"-> {cause.advice}", "dim"))
    return Group(*parts, Text(""))


def _indented(label: str, label_style: str, text: str, style: str) -> Table:
    line = Table.grid(padding=(0, 0))
    line.add_column(width=13, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(label, label_style), Text(text, style))
    return line


def _waterfall(timeline: Timeline, bar_width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    table.add_column("from", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    if bar_width:
        table.add_column("", width=bar_width, no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for entry in in_order(timeline):
        if isinstance(entry, Gap):
            took, mark, style, words = duration_text(entry.duration_ms), "·", "dim", ("gap", entry.reason)
        else:
            took = "" if entry.duration_ms is None else duration_text(entry.duration_ms)
            mark = _MOMENT if entry.end is None else _FULL
            style, words = "red" if entry.failed else _STYLES.get(entry.kind, ""), (entry.kind, told(entry))
        bars = [Text(_bar(timeline, entry, mark, bar_width), style)] if bar_width else []
        told_style = style if isinstance(entry, Gap) else ""
        table.add_row(_offset(timeline, entry.start), took, *bars, Text(words[0], style), Text(words[1], told_style))
    return table


def in_order(timeline: Timeline) -> list[Event | Gap]:
    """The events that have a place in time, with the gaps between them, by their start."""
    entries: list[Event | Gap] = [*timeline.placed, *timeline.gaps()]
    return sorted(entries, key=lambda entry: entry.start)


def told(event: Event) -> str:
    """What a line about an event says beside its kind: name, result, and whose it is."""
    details = event.details
    parts = [event.name]
    if event.kind == "database" and "total_time" in details:
        parts.append(f"({duration_text(details['total_time'])} in them, {details.get('wal_bytes', 0)} bytes of WAL)")
    if event.kind == "log":
        parts.insert(0, str(details.get("level") or details.get("severity") or ""))
    if event.kind == "lock" and details.get("held_by"):
        parts.append(f"held by request {', '.join(map(str, details['held_by']))}")
    if event.running:
        parts.append("(still running)")
    return " ".join(part for part in parts if part)


def _offset(timeline: Timeline, moment: datetime) -> str:
    return f"+{duration_text(milliseconds(moment - (timeline.start or moment)))}"


def _bar(timeline: Timeline, entry: Event | Gap, mark: str, bar_width: int) -> str:
    start, end = entry.start, entry.end or entry.start
    whole = timeline.duration_ms or 1.0
    left = milliseconds(start - (timeline.start or start)) / whole * bar_width
    width = milliseconds(end - start) / whole * bar_width
    begin = min(int(left), bar_width - 1)
    cells = min(max(1, round(width)), bar_width - begin)
    return " " * begin + (_THIN if mark == _FULL and width < 0.5 else mark * (1 if mark == _MOMENT else cells))


def _statements(trail: Trail) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), title_justify="left")
    for name in ("calls", "total", "max", "rows"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("statement", overflow="fold")
    for statement in trail.statements:
        text = statement.text or f"queryid {statement.queryid}"
        table.add_row(
            str(statement.calls),
            duration_text(statement.total_ms),
            duration_text(statement.max_ms),
            str(statement.rows),
            Text(text),
        )
    return table


def _exemplars(exemplars: Iterable[Event]) -> Text:
    return Text("\n".join(f"exemplar of {event.name}" for event in exemplars), "dim")


def _time_spent(trail: Trail) -> Text:
    told_parts = ", ".join(f"{name} {duration_text(ms)}" for name, ms in trail.time_spent.parts)
    return Text.assemble(("time spent   ", "bold"), told_parts or "not known")


def _sources(trail: Trail) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=12, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for number, source in enumerate(trail.sources):
        label = Text("sources" if number == 0 else "", "bold")
        state = Text(f"{SOURCE_KINDS[source.kind]}: {source.state}", _STATE_STYLES[source.state])
        table.add_row(label, state, Text(" ".join(part for part in (source.name, f"({source.note})") if part)))
    return table
