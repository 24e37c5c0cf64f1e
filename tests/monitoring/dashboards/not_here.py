"""Queries of panels that cannot return data on the machine of the tests, and why."""

_DEPTH = "nothing measures the depth of queues yet"

NOT_HERE = {
    "celery-deep-dive/Messages that wait/A": _DEPTH,
    "celery-deep-dive/Queue depth/A": _DEPTH,
    "celery-deep-dive/Time to empty the queue/A": _DEPTH,
    "golden-signals/Messages that wait in queues/A": _DEPTH,
    "golden-signals/Requests in progress/A": "nothing counts requests in progress yet",
}
"""Query -> the reason."""
