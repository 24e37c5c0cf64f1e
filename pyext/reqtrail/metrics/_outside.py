"""A segment seen from outside: read once, into a private copy, so that nobody inside notices."""

import fcntl
import os
import tempfile
from pathlib import Path

from reqtrail._native import Segment


class SegmentUnreadableError(Exception):
    """There is no segment, or what is there cannot be read as one. The message says which and where."""


def read_segment(service: str, directory: str | os.PathLike[str] | None = None, *, accept: str = "") -> bytes:
    """Return what a scrape of the service would show, its processes dead or alive.

    The segment is neither written to nor locked: it does not start afresh and is not kept alive. `directory` is as for
    `open_segment()`. Raises SegmentUnreadableError.
    """
    folder = Path(directory or os.environ.get("REQTRAIL_METRICS_DIR") or _default_directory())
    path = folder / f"{service}.metrics"
    if not folder.is_dir():
        raise SegmentUnreadableError(f"no such folder: {folder}")
    if not path.is_file():
        others = ", ".join(sorted(other.stem for other in folder.glob("*.metrics"))) or "none"
        raise SegmentUnreadableError(f"no metrics of service {service!r} in {folder} (services there: {others})")
    with tempfile.TemporaryDirectory(prefix="reqtrail-") as private:
        copy = Path(private) / path.name
        try:
            _copy(path, copy)
            with copy.open("rb") as held:
                # Somebody who holds it keeps the copy from being started afresh.
                fcntl.flock(held, fcntl.LOCK_SH)
                segment = Segment(service, private)
                if not copy.samefile(f"/proc/self/fd/{held.fileno()}"):
                    raise SegmentUnreadableError(f"{path} is no metrics segment of this version of reqtrail")
                return segment.render(accept)[0]
        except (OSError, ValueError) as error:
            raise SegmentUnreadableError(f"cannot read {path}: {error}") from error


def _default_directory() -> str:
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()  # noqa: S108 - as the segment does
    return f"{parent}/reqtrail-{os.geteuid()}"


def _copy(source: Path, target: Path) -> None:
    """Copy what has storage, in ascending order: entries lie behind the table that points at them."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        target.chmod(0o600)
        size = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer.fileno(), size)
        at = 0
        while at < size:
            try:
                at = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            end = os.lseek(reader.fileno(), at, os.SEEK_HOLE)
            while at < end:
                data = os.pread(reader.fileno(), min(end - at, 1 << 20), at)
                if not data:
                    return
                os.pwrite(writer.fileno(), data, at)
                at += len(data)
