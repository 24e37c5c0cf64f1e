"""Queries of panels that cannot return data on the machine of the tests, and why."""

_DEPTH = "nothing measures the depth of queues yet"
_VIEWS = "the extension does not have this view yet"

NOT_HERE = {
    "celery-deep-dive/Messages that wait/A": _DEPTH,
    "celery-deep-dive/Queue depth/A": _DEPTH,
    "celery-deep-dive/Time to empty the queue/A": _DEPTH,
    "golden-signals/Messages that wait in queues/A": _DEPTH,
    "golden-signals/Requests in progress/A": "nothing counts requests in progress yet",
    "database-performance/Recent errors/A": _VIEWS,
    "database-performance/Slow statements and their requests/A": _VIEWS,
    "error-tracking/Recent errors of PostgreSQL/A": _VIEWS,
    "error-tracking/Its statements/A": _VIEWS,
}
"""Query -> the reason."""
