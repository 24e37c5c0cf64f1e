"""Where the panels change colour. Each of these limits belongs to an alert, and is the one in prometheus/rules/."""

ERROR_RATIO = 0.05
SLOW_SECONDS = 1.0
CONNECTIONS_RATIO = 0.8
POOL_RATIO = 0.9
TASK_FAILURE_RATIO = 0.1
QUEUE_DEPTH = 1000
QUEUE_WAIT_SECONDS = 60
LONG_TRANSACTION_SECONDS = 300
DISK_FREE_RATIO = 0.1

LIMIT_OF_ALERT = {
    "HighErrorRate": ERROR_RATIO,
    "SlowAPIResponses": SLOW_SECONDS,
    "DatabasePoolExhausted": CONNECTIONS_RATIO,
    "ApplicationPoolExhausted": POOL_RATIO,
    "CeleryTaskFailureRate": TASK_FAILURE_RATIO,
    "CeleryQueueBacklog": QUEUE_DEPTH,
    "CeleryQueueWait": QUEUE_WAIT_SECONDS,
    "PostgresLongTransaction": LONG_TRANSACTION_SECONDS,
    "DiskSpaceLow": DISK_FREE_RATIO,
}
"""Alert -> the number that its expression compares with."""
