"""The options of `reqtrail.install` that say how ids are taken and what is recorded, checked."""

import math
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from logging import Logger
from typing import Any, NamedTuple, TypedDict

from reqtrail._native import LATENCY_BUCKETS

METRICS = ("requests", "duration", "inprogress", "errors")
"""What may be switched on and off, in the order of docs/http.md."""

Matches = Callable[[str], object]


class IdOptions(TypedDict):
    """As of `reqtrail.CorrelationIDMiddleware`."""

    header_name: str
    update_request_header: bool
    generator: Callable[[], str] | None
    validator: Callable[[str], object] | None
    transformer: Callable[[str], str] | None
    trust_incoming: bool | Callable[[Any], object]
    expose_cors: bool
    logger: Logger | str | None


class RecordOptions(NamedTuple):
    """What is recorded of requests, as `reqtrail._native.make_recorder` takes it."""

    errors_namespace: str = "commandcenter"
    buckets: tuple[float, ...] = LATENCY_BUCKETS
    metrics: tuple[str, ...] = METRICS
    group_status_codes: bool = False
    count_4xx: bool = False
    is_excluded: Matches | None = None
    is_skipped: Matches | None = None


def record_options(
    *,
    namespace: str,
    buckets: Iterable[float] | None,
    metrics: Iterable[str],
    group_status_codes: bool,
    count_4xx: bool,
    excluded_handlers: Iterable[str],
    skip_paths: Iterable[str],
) -> RecordOptions:
    """Check the options. Raises TypeError and ValueError, which say what would be right."""
    return RecordOptions(
        _name_prefix(namespace),
        LATENCY_BUCKETS if buckets is None else _bounds(buckets),
        _metric_names(metrics),
        check_bool("group_status_codes", group_status_codes),
        check_bool("count_4xx", count_4xx),
        _any_of([pattern.search for pattern in _patterns("excluded_handlers", excluded_handlers)]),
        _any_of([pattern.fullmatch for pattern in _patterns("skip_paths", skip_paths)]),
    )


def check_bool(name: str, value: object) -> bool:
    """Return `value`. Raises TypeError when it is no bool: a text such as "no" would count as True."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool: True or False, not {type(value).__name__}")
    return value


def check_metrics_path(path: object) -> None:
    """Raise TypeError when it is neither a str nor None, ValueError when it does not begin with "/"."""
    if path is not None and not isinstance(path, str):
        raise TypeError(f'metrics_path must be a str, such as "/metrics", or None, not {type(path).__name__}')
    if path is not None and not path.startswith("/"):
        raise ValueError(f'metrics_path must begin with "/", not be {path!r}')


def _name_prefix(namespace: str) -> str:
    if not isinstance(namespace, str):
        raise TypeError(f'namespace must be a str, such as "shop", not {type(namespace).__name__}')
    if not namespace.isascii():
        raise ValueError(f"namespace must be the start of a metric's name: letters, digits and _, not {namespace!r}")
    return namespace


def _bounds(buckets: Iterable[float]) -> tuple[float, ...]:
    try:
        bounds = tuple(float(bound) for bound in buckets)
    except (TypeError, ValueError):
        raise TypeError("buckets must be numbers: the upper bounds in seconds, such as [0.1, 0.5, 1, 5]") from None
    bounds = bounds[:-1] if bounds and bounds[-1] == math.inf else bounds
    is_ascending = all(lower < upper for lower, upper in pairwise(bounds))
    if not bounds or not is_ascending or not all(math.isfinite(bound) for bound in bounds):
        raise ValueError("buckets must be at least one upper bound in seconds, and ascend: such as [0.1, 0.5, 1, 5]")
    return bounds


def _metric_names(metrics: Iterable[str]) -> tuple[str, ...]:
    names = _texts("metrics", metrics)
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metrics has no {name!r}: there are {', '.join(METRICS)}")
    return names


def _patterns(option: str, patterns: Iterable[str]) -> list[re.Pattern[str]]:
    compiled = []
    for pattern in _texts(option, patterns):
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(f"{option} must be regular expressions, and {pattern!r} is none: {error}") from None
    return compiled


def _texts(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    if isinstance(texts, str):
        raise TypeError(f"{option} must be a collection of str, not one str: [{texts!r}]")
    found = tuple(texts) if isinstance(texts, Iterable) else (texts,)
    if not all(isinstance(text, str) for text in found):
        raise TypeError(f"{option} must be a collection of str, not {texts!r}")
    return found


def _any_of(matchers: list[Matches]) -> Matches | None:
    if len(matchers) < 2:
        return matchers[0] if matchers else None
    return lambda text: any(matches(text) for matches in matchers)
