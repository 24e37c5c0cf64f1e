"""A trail as one HTML page with a waterfall.

It needs nothing but itself: no script, no font, no image, and its policy forbids them. Whatever comes from outside is
escaped, here and nowhere else: `_e`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import Any

from reqtrail.cli.json_output import to_json
from reqtrail.cli.text_output import in_order, told
from reqtrail.cli.timeline import Event, Gap, Timeline, milliseconds
from reqtrail.cli.trail import SOURCE_KINDS, Trail
from reqtrail.cli.wording import duration_text, printable

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TICKS = 4


def html_page(trail: Trail) -> str:
    """Return the whole page."""
    style = resources.files("reqtrail.cli").joinpath("trail_page.css").read_text(encoding="utf-8")
    body = "\n".join(part for part in _sections(trail) if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>request {_e(trail.request_id)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _sections(trail: Trail) -> Iterator[str]:
    yield _header(trail)
    if trail.found:
        yield _causes(trail)
        yield _time_spent(trail)
        yield _waterfall(trail.timeline)
        yield _statements(trail)
        yield _exemplars(trail.timeline)
    yield _sources(trail)


def _e(value: object) -> str:
    """Text for any place in the page: between tags, or in a quoted attribute."""
    return html.escape(printable(str(value)), quote=True)


def _header(trail: Trail) -> str:
    start = trail.timeline.start
    when = "nothing is known of this request"
    if start is not None:
        took = duration_text(trail.timeline.duration_ms)
        when = f"{start:%Y-%m-%d %H:%M:%S}.{start.microsecond // 1000:03d} UTC, {took} from the first event to the last"
    return f'<header><h1>Request <code>{_e(trail.request_id)}</code></h1><p class="soft">{_e(when)}</p></header>'


def _causes(trail: Trail) -> str:
    if not trail.causes:
        return (
            '<section aria-label="Likely cause"><h2>Likely cause</h2><div class="cause cause-none">'
            "<h3>Nothing stands out</h3><p>No failure, no wait, no N+1, nothing slow.</p></div></section>"
        )
    boxes = []
    for number, cause in enumerate(trail.causes):
        evidence = f"<p>{_e(cause.evidence)}</p>" if cause.evidence else ""
        heading = "<h2>Likely cause</h2>" if number == 0 else "<h2>Also</h2>" if number == 1 else ""
        boxes.append(
            f'{heading}<div class="cause cause-{_e(cause.kind)}"><h3>{_e(cause.title)}</h3>{evidence}'
            f'<p class="soft">{_e(cause.advice)}</p></div>'
        )
    return f'<section aria-label="Likely cause">{"".join(boxes)}</section>'


def _time_spent(trail: Trail) -> str:
    parts = trail.time_spent.parts
    if not parts:
        return ""
    whole = sum(ms for _, ms in parts)
    bars = "".join(f'<span class="{name}-fill" style="width:{100 * ms / whole:.3f}%"></span>' for name, ms in parts)
    legend = "".join(f'<li><i class="{name}-fill"></i>{name} {_e(duration_text(ms))}</li>' for name, ms in parts)
    return (
        '<section><h2>Where the time went</h2><div class="split" aria-hidden="true">'
        f'{bars}</div><ul class="legend">{legend}</ul></section>'
    )


def _waterfall(timeline: Timeline) -> str:
    parts = [number / _TICKS for number in range(_TICKS + 1)]
    ticks = "".join(
        f'<span style="left:{100 * part:g}%">{_e(duration_text(timeline.duration_ms * part))}</span>' for part in parts
    )
    rows = "".join(_row(timeline, entry) for entry in in_order(timeline))
    return f"""<section><h2 id="timeline">Timeline</h2><div class="scroll">
<table class="waterfall" aria-labelledby="timeline">
<thead><tr><th scope="col" class="number">from</th><th scope="col" class="number">took</th><th scope="col">what</th>
<th scope="col"><div class="ticks" aria-hidden="true">{ticks}</div></th></tr></thead>
<tbody>{rows}</tbody></table></div></section>"""


def _row(timeline: Timeline, entry: Event | Gap) -> str:
    offset = duration_text(milliseconds(entry.start - (timeline.start or entry.start)))
    if isinstance(entry, Gap):
        kind, text, details, took = "gap", entry.reason, "", duration_text(entry.duration_ms)
    else:
        kind, text = entry.kind, told(entry)
        details = _details({"source": entry.source, **entry.details})
        took = "" if entry.duration_ms is None else duration_text(entry.duration_ms)
    failed = isinstance(entry, Event) and entry.failed
    colour = "error" if failed else kind
    mark = '<span class="bad">failed</span> ' if failed else ""
    spoken = f"{kind} {text}: from {offset}{f', took {took}' if took else ''}"
    return (
        f'<tr data-kind="{kind}"><td class="number">+{_e(offset)}</td><td class="number">{_e(took)}</td>'
        f'<th scope="row" class="what"><span class="badge {colour}">{kind}</span>{mark}{_e(text)}{details}</th>'
        f'<td class="lane">{_bar(timeline, entry, colour, spoken)}</td></tr>\n'
    )


def _bar(timeline: Timeline, entry: Event | Gap, colour: str, spoken: str) -> str:
    whole = timeline.duration_ms or 1.0
    left = 100 * milliseconds(entry.start - (timeline.start or entry.start)) / whole
    end: datetime | None = entry.end
    if end is None:
        shape, place = " moment", f"left:{left:.3f}%"
    else:
        width = 100 * milliseconds(end - entry.start) / whole
        shape, place = "", f"left:min({left:.3f}%, 100% - 3px);width:{width:.3f}%"
        if isinstance(entry, Gap):
            shape = " gap"
        elif entry.running:
            shape = " running"
    return f'<span class="bar {colour}{shape}" role="img" aria-label="{_e(spoken)}" style="{place}"></span>'


def _details(details: Mapping[str, Any]) -> str:
    entries = "".join(
        f"<dt>{_e(name)}</dt><dd>{_e(value if isinstance(value, str) else _plain(value))}</dd>"
        for name, value in details.items()
        if value not in (None, "")
    )
    return f"<details><summary>details</summary><dl>{entries}</dl></details>"


def _plain(value: object) -> str:
    text = to_json(value)
    unquoted = json.loads(text)
    return unquoted if isinstance(unquoted, str) else text


def _statements(trail: Trail) -> str:
    if not trail.statements:
        return ""
    rows = "".join(
        f'<tr><td class="number">{statement.calls}</td><td class="number">{_e(duration_text(statement.total_ms))}</td>'
        f'<td class="number">{_e(duration_text(statement.max_ms))}</td><td class="number">{statement.rows}</td>'
        f"<td><code>{_e(statement.text or f'queryid {statement.queryid}')}</code></td></tr>"
        for statement in trail.statements
    )
    heads = "".join(f'<th scope="col" class="number">{name}</th>' for name in ("calls", "total", "longest", "rows"))
    return (
        '<section><h2>Statements</h2><div class="scroll"><table>'
        f'<thead><tr>{heads}<th scope="col">text</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _exemplars(timeline: Timeline) -> str:
    items = "".join(f"<li><code>{_e(event.name)}</code></li>" for event in timeline.of_kind("exemplar"))
    return f"<section><h2>Exemplars in the metrics</h2><ul>{items}</ul></section>" if items else ""


def _sources(trail: Trail) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_e(SOURCE_KINDS[source.kind])}</th>'
        f'<td class="state-{source.state.partition(" ")[0]}">{_e(source.state)}</td>'
        f"<td>{_e(source.name)}</td><td>{_e(source.note)}</td></tr>"
        for source in trail.sources
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("source", "state", "which", "note"))
    return (
        f'<section><h2>Sources</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )
