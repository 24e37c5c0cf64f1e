"""What fails, where, since when, and why: from the ratio down to the stack trace and the rows of one request."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import database_rows, limits, links, panels, queries, sheet
from monitoring.grafana.panels import HALF, Limits

TIMES = dict.fromkeys(("total_time", "max_time", "plan_time", "commit_time", "idle_in_transaction_time"), "ms")
COUNTER = "commandcenter_errors_total"
ERRORS = 'job=~"$job", endpoint=~"$endpoint"'
API = 'job=~"$job", handler=~"$endpoint"'
FAILED_LINES = '{service=~"$service", level=~"ERROR|CRITICAL|FATAL|PANIC"}'


def dashboard() -> Dashboard:
    """Make it."""
    variables = [
        sheet.label_values("job", "Job", "http_requests_total, job", "The scrape job of the API."),
        sheet.label_values(
            "endpoint", "Endpoint", 'http_requests_total{job=~"$job"}, handler', "Route templates, such as /items/{id}."
        ),
        sheet.services(),
    ]
    rows = {
        "Traffic": _traffic(),
        "Errors": _errors(),
        "Recent errors": _recent(),
        "Look a request up: put its id into the field at the top": _look_up(),
    }
    return sheet.dashboard(
        "reqtrail-error-tracking",
        "Error tracking",
        "What fails, where, since when, and why. With a request id at the top: everything about that request.",
        ["prometheus", "loki", "postgres"],
        variables,
        rows,
    )


def _traffic() -> list[panels.Panel]:
    requests = queries.grown_a_second("http_requests_total", API, "")
    errors = queries.or_none(queries.grown_a_second(COUNTER, ERRORS, ""))
    count = queries.or_none(queries.grown(COUNTER, ERRORS, "", "$__range"))
    places = queries.or_none(f"count({queries.grown(COUNTER, ERRORS, 'endpoint', '$__range')} > 0)")
    kinds = queries.or_none(f"count({queries.grown(COUNTER, ERRORS, 'error_type', '$__range')} > 0)")
    ratio = f"{errors}\n/ {requests}"
    return [
        panels.number("Requests", "Requests a second, good and bad.", "reqps", queries.now(requests, "requests")),
        panels.number(
            "Errors",
            "Requests that failed in the shown range.",
            "short",
            queries.now(count, "errors"),
            limits=Limits(warning=1),
        ),
        panels.number(
            "Endpoints that fail",
            "Endpoints with at least one error in the shown range.",
            "short",
            queries.now(places, "endpoints"),
            limits=Limits(warning=1),
        ),
        panels.number(
            "Kinds of errors",
            "Exception classes (or bare 5xx statuses) in the shown range.",
            "short",
            queries.now(kinds, "kinds"),
            limits=Limits(warning=1),
        ),
        panels.over_time(
            "Error rate",
            "Requests that failed, a second. Exemplars are single failed requests: a click opens their log lines.",
            "reqps",
            queries.over_time(errors, "errors", exemplar=True),
            width=HALF,
        ),
        panels.over_time(
            "Error ratio",
            "Requests that failed, as a part of all. The red line is the limit of the alert HighErrorRate.",
            "percentunit",
            queries.over_time(ratio, "errors", exemplar=True),
            limits=Limits(warning=limits.ERROR_RATIO / 5, critical=limits.ERROR_RATIO),
            width=HALF,
        ),
    ]


def _errors() -> list[panels.Panel]:
    by_endpoint = queries.grown_a_second(COUNTER, ERRORS, "endpoint")
    by_type = queries.grown(COUNTER, ERRORS, "error_type", "$__range") + " > 0"
    by_status = queries.grown_a_second(COUNTER, ERRORS, "status_code")
    table = f"sort_desc({queries.grown(COUNTER, ERRORS, 'endpoint, status_code, error_type', '$__range')} > 0)"
    failures = queries.grown("celery_task_failures_total", "", "task, queue, error_type", "$__range")
    tasks = f"sort_desc({failures} > 0)"
    return [
        panels.over_time(
            "Errors by endpoint",
            "Requests that failed, a second, by route template.",
            "reqps",
            queries.over_time(by_endpoint, "{{endpoint}}", exemplar=True),
            stacked=True,
            link=links.to_errors_of("${__field.labels.endpoint}"),
        ),
        panels.shares(
            "Errors by type",
            "What was raised, in the shown range: the exception's class; the status where no exception caused it.",
            "short",
            queries.now(by_type, "{{error_type}}"),
        ),
        panels.over_time(
            "Errors by status",
            "Requests that failed, a second, by the status that was answered.",
            "reqps",
            queries.over_time(by_status, "{{status_code}}"),
            stacked=True,
        ),
        panels.grid(
            "Errors by endpoint, status and type",
            "How many in the shown range. A click on an endpoint narrows the whole dashboard to it.",
            "short",
            queries.rows(table),
            width=HALF,
        ),
        panels.grid(
            "Failed tasks by type",
            "Celery tasks that failed in the shown range, also those whose process was killed.",
            "short",
            queries.rows(tasks),
            width=HALF,
        ),
    ]


def _recent() -> list[panels.Panel]:
    by_service = f"sum by (service) (count_over_time({FAILED_LINES} [$__auto]))"
    by_kind = f"""sum by (endpoint, task, error_type) (
  count_over_time({FAILED_LINES} | json | error_type != "" | __error__ = "" [$__auto]))"""
    what = "{{.endpoint}}{{.task}} {{.error_type}}: {{.error_message}}{{.message}}\\n{{.exception}}"
    traces = f'{FAILED_LINES} | json\n| line_format "{what}"'
    return [
        panels.over_time(
            "Error lines by service",
            "Log lines at ERROR and above, of the API, the workers and PostgreSQL.",
            "short",
            queries.log_counts(by_service, "{{service}}"),
            width=HALF,
            stacked=True,
        ),
        panels.over_time(
            "Error lines by place and type",
            "Log lines with an exception, by endpoint or task and its class.",
            "short",
            queries.log_counts(by_kind, "{{endpoint}}{{task}} {{error_type}}"),
            width=HALF,
            stacked=True,
        ),
        panels.lines(
            "Recent errors with stack traces",
            "One line an error, the newest first. Unfold a line for its stack trace and its request id.",
            queries.log_lines(traces),
            height=12,
        ),
        panels.grid(
            "Recent errors of PostgreSQL",
            "What the server raised for a request, the newest first. The id links to the log lines of the request.",
            "short",
            queries.sql(database_rows.ERRORS),
            units={"queryid": "none"},
        ),
    ]


def _look_up() -> list[panels.Panel]:
    cost = """
SELECT first_seen, last_seen, total_time, max_time, plan_time, commit_time, idle_in_transaction_time, statements,
  transactions, rollbacks, errors, last_sqlstate, rows, shared_blks_hit + shared_blks_read AS blocks, wal_bytes,
  backends, database, "user"
FROM pg_stat_requests(${request_id:sqlstring})
"""
    statements = """
SELECT s.queryid, s.calls, s.total_time, s.max_time, s.rows,
  left(regexp_replace(q.query, '\\s+', ' ', 'g'), 200) AS query
FROM pg_stat_requests_statements(${request_id:sqlstring}) s
LEFT JOIN pg_stat_statements q ON q.queryid = s.queryid AND q.dbid = s.dbid AND q.userid = s.userid
ORDER BY s.total_time DESC
"""
    return [
        panels.lines(
            "Log lines of the request",
            "All lines of the request in $request_id: of the API, its tasks and PostgreSQL, the newest first.",
            queries.log_lines(links.REQUEST_LOGS % "$request_id"),
            height=12,
        ),
        panels.grid(
            "What the request cost in PostgreSQL",
            "Its transactions taken together, those of its tasks included. Times in milliseconds.",
            "short",
            queries.sql(cost),
            units=TIMES | {"wal_bytes": "bytes"},
        ),
        panels.grid(
            "Its statements",
            "The costliest eight. Many calls of one statement: a query in a loop (N+1). Texts need pg_stat_statements.",
            "short",
            queries.sql(statements),
            units={"total_time": "ms", "max_time": "ms", "queryid": "none"},
            limits=Limits(warning=10, critical=50),
            limited="calls",
        ),
    ]
