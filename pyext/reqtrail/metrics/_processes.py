"""The processes of the service as process_* series: sums over those that live, not a series for each pid.

Each process enters itself once, in a gauge of mode liveall that is not shown. CPU seconds must never fall: what ended
processes had used at the last scrape stays, by a high-water mark in the segment.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from reqtrail import _native
from reqtrail._native import Segment

_PREFIX = b"reqtrail_internal_"
_ALIVE = b"reqtrail_internal_alive{pid="
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class _Usage:
    cpu_seconds: float
    resident_bytes: float
    virtual_bytes: float
    start_ticks: float
    open_fds: float
    max_fds: float


class _Entry:
    """What this process keeps in the segment about itself and its fellows."""

    def __init__(self, segment: Segment) -> None:
        self.alive = _native.Gauge("reqtrail_internal_alive", "1.", (), (), "liveall")
        self.highest = _native.Gauge("reqtrail_internal_cpu_seconds", "Highest shown.", (), (), "shared")
        self.ended = _native.Gauge("reqtrail_internal_ended_cpu_seconds", "Of ended processes.", (), (), "shared")
        for gauge in (self.alive, self.highest, self.ended):
            gauge._bind(segment)
        self.alive.set(1)


_entry: _Entry | None = None


def enter(segment: Segment) -> None:
    """Make this process, and what it forks, one of the service's."""
    global _entry
    _entry = _Entry(segment)


def _enter_child() -> None:
    if _entry is not None:
        _entry.alive.set(1)


os.register_at_fork(after_in_child=_enter_child)


def without_own(body: bytes) -> bytes:
    """Return `body` without the families of this module's bookkeeping."""
    if _PREFIX not in body:
        return body
    end = b"# EOF\n" if body.endswith(b"# EOF\n") else b""
    parts = body.removesuffix(b"# EOF\n").split(b"# HELP ")  # a line feed in a help text is escaped
    return b"# HELP ".join(part for part in parts if not part.startswith(_PREFIX)) + end


def show(body: bytes, is_open_metrics: bool) -> bytes:
    """Return `body`, which has no end mark, with the process_* and python_info families in place of the bookkeeping."""
    pids = [int(line.split(b'"', 2)[1]) for line in body.splitlines() if line.startswith(_ALIVE)]
    body = without_own(body)
    usages = [usage for usage in map(_usage_of, pids) if usage is not None]
    if not usages:
        return body
    out = bytearray(body)
    total = "" if is_open_metrics else "_total"
    _add(out, f"process_cpu_seconds{total}", "process_cpu_seconds_total", "counter", "CPU time.", _cpu_seconds(usages))
    resident = sum(usage.resident_bytes for usage in usages)
    _add_gauge(out, "process_resident_memory_bytes", "Resident memory, summed: shared pages several times.", resident)
    virtual = sum(usage.virtual_bytes for usage in usages)
    _add_gauge(out, "process_virtual_memory_bytes", "Virtual memory, summed.", virtual)
    start = _boot_time() + min(usage.start_ticks for usage in usages) / _TICKS
    _add_gauge(out, "process_start_time_seconds", "Unix time at which the oldest process started.", start)
    _add_gauge(out, "process_open_fds", "Open file descriptors, summed.", sum(usage.open_fds for usage in usages))
    _add_gauge(out, "process_max_fds", "Lowest limit of open file descriptors.", min(u.max_fds for u in usages))
    major, minor, patch = platform.python_version_tuple()
    labels = (
        f'implementation="{platform.python_implementation()}",major="{major}",minor="{minor}",patchlevel="{patch}"'
        f',version="{platform.python_version()}"'
    )
    _add(out, "python_info", f"python_info{{{labels}}}", "gauge", "The Python of the process that was scraped.", 1)
    return bytes(out)


def _add(out: bytearray, family: str, sample: str, type_name: str, help_text: str, value: float) -> None:
    out += f"# HELP {family} {help_text}\n# TYPE {family} {type_name}\n{sample} {value!r}\n".encode()


def _add_gauge(out: bytearray, name: str, help_text: str, value: float) -> None:
    _add(out, name, name, "gauge", help_text, value)


def _cpu_seconds(usages: list[_Usage]) -> float:
    living = sum(usage.cpu_seconds for usage in usages)
    if _entry is None:
        return living
    ended, highest = _entry.ended._own_value(), _entry.highest._own_value()
    if living + ended < highest:
        ended = highest - living
        _entry.ended.set(ended)
    _entry.highest.set(living + ended)
    return living + ended


def _usage_of(pid: int) -> _Usage | None:
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        limits = (folder / "limits").read_text().splitlines()
        open_fds = len(os.listdir(folder / "fd"))  # noqa: PTH208 - only how many
    except OSError:  # it has just ended
        return None
    limit = next((line.split()[3] for line in limits if line.startswith("Max open files")), "inf")
    return _Usage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        resident_bytes=float(fields[21]) * _PAGE_BYTES,
        virtual_bytes=float(fields[20]),
        start_ticks=float(fields[19]),
        open_fds=open_fds,
        max_fds=float("inf" if limit == "unlimited" else limit),
    )


def _boot_time() -> float:
    lines = Path("/proc/stat").read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)
