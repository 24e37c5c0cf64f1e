"""Prometheus metrics that are right across processes, with the request id as their exemplar.

`Counter`, `Gauge`, `Histogram`, `Summary`, `Info` and `Enum` are used as those of prometheus_client. Their values live
in a segment that all processes of a service on this host share: a scrape of any one process shows them all. See
docs/metrics.md.
"""

from reqtrail._native import LATENCY_BUCKETS, Segment
from reqtrail.metrics._bridge import Collector
from reqtrail.metrics._enum import Enum
from reqtrail.metrics._exposition import (
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
    render,
)
from reqtrail.metrics._http_server import start_http_server
from reqtrail.metrics._info import Info
from reqtrail.metrics._segment import open_segment
from reqtrail.metrics._serving import asgi_app, wsgi_app
from reqtrail.metrics._types import Counter, Gauge, Histogram, Summary

__all__ = [
    "LATENCY_BUCKETS",
    "Collector",
    "Counter",
    "Enum",
    "Gauge",
    "Histogram",
    "Info",
    "Segment",
    "Summary",
    "asgi_app",
    "disable_created_metrics",
    "enable_created_metrics",
    "generate_latest",
    "open_segment",
    "render",
    "start_http_server",
    "wsgi_app",
]
