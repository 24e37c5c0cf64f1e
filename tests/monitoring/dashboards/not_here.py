"""Queries of panels that cannot return data on the machine of the tests, and why."""

NOT_HERE = {
    "golden-signals/Requests in progress/A": "nothing counts requests in progress yet",
}
"""Query -> the reason."""
