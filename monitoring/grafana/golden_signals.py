"""Traffic, errors, latency and saturation of the API: the page to look at first."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import limits, links, panels, queries, saturation, sheet
from monitoring.grafana.panels import HALF, Limits

API = 'job=~"$job", handler=~"$endpoint"'
ERRORS = 'job=~"$job", endpoint=~"$endpoint"'
REQUESTS = f"sum(rate(http_requests_total{{{API}}}[$__rate_interval]))"
LATENCY = "http_request_duration_seconds"
SLOW = Limits(warning=limits.SLOW_SECONDS / 2, critical=limits.SLOW_SECONDS)
TO_ERRORS = links.to_errors_of("${__field.labels.handler}")


def dashboard() -> Dashboard:
    """Make it."""
    variables = [
        sheet.label_values("job", "Job", "http_requests_total, job", "The scrape job of the API."),
        sheet.label_values(
            "endpoint", "Endpoint", 'http_requests_total{job=~"$job"}, handler', "Route templates, such as /items/{id}."
        ),
    ]
    rows = {"Traffic": _traffic(), "Errors": _errors(), "Latency": _latency(), "Saturation": _saturation()}
    return sheet.dashboard(
        "reqtrail-golden-signals",
        "Golden signals",
        "Is the API well? Traffic, errors, latency, saturation, from the load balancer's view down to the host.",
        ["prometheus"],
        variables,
        rows,
    )


def _traffic() -> list[panels.Panel]:
    by_handler = f"sum by (handler) (rate(http_requests_total{{{API}}}[$__rate_interval]))"
    by_status = f"sum by (status) (rate(http_requests_total{{{API}}}[$__rate_interval]))"
    tasks = "60 * sum by (task) (rate(celery_tasks_total[$__rate_interval]))"
    return [
        panels.over_time(
            "Requests by endpoint",
            "Requests a second, by route template. Exemplars are single requests: a click opens their log lines.",
            "reqps",
            queries.over_time(by_handler, "{{handler}}", exemplar=True),
            stacked=True,
            link=TO_ERRORS,
        ),
        panels.over_time(
            "Requests by status",
            "Requests a second, by status code. 499: the client went away before the answer.",
            "reqps",
            queries.over_time(by_status, "{{status}}"),
            stacked=True,
        ),
        panels.over_time(
            "Tasks by type",
            "Celery tasks that ended, a minute. More in the dashboard Celery.",
            "opm",
            queries.over_time(tasks, "{{task}}"),
            stacked=True,
        ),
    ]


def _errors() -> list[panels.Panel]:
    errors = queries.or_none(queries.grown_a_second("commandcenter_errors_total", ERRORS, ""))
    by_handler = f"""sum by (handler) (rate(http_requests_total{{{API}, status=~"5.."}}[$__rate_interval]))
/ sum by (handler) (rate(http_requests_total{{{API}}}[$__rate_interval]))"""
    good = f"""1 - (sum(increase(http_requests_total{{{API}, status=~"5.."}}[$__range])) or vector(0))
/ sum(increase(http_requests_total{{{API}}}[$__range]))"""
    ratio = Limits(warning=limits.ERROR_RATIO / 5, critical=limits.ERROR_RATIO)
    return [
        panels.over_time(
            "Error ratio",
            "Requests that failed, as a part of all. The red line is the limit of the alert HighErrorRate.",
            "percentunit",
            queries.over_time(f"{errors}\n/ {REQUESTS}", "errors", exemplar=True),
            limits=ratio,
        ),
        panels.over_time(
            "Error ratio by endpoint",
            "Answers with a 5xx status, as a part of all, for each endpoint that had any.",
            "percentunit",
            queries.over_time(by_handler, "{{handler}}"),
            limits=ratio,
            link=TO_ERRORS,
        ),
        panels.number(
            "Availability",
            "Requests in the shown range that were not answered with a 5xx status.",
            "percentunit",
            queries.now(good, "available"),
            limits=Limits(warning=0.999, critical=0.99, low=True),
            width=panels.THIRD,
        ),
    ]


def _latency() -> list[panels.Panel]:
    slowest = f"""topk(10, histogram_quantile(0.95,
  sum by (handler, le) (increase({LATENCY}_bucket{{{API}}}[$__range]))))"""
    return [
        panels.over_time(
            "Latency",
            "How long requests take. Exemplars are single requests: a click opens their log lines. The red line is the "
            "limit of the alert SlowAPIResponses.",
            "s",
            *queries.percentiles(LATENCY, API),
            limits=SLOW,
            width=HALF,
        ),
        panels.latency_map(
            "Latency, distribution",
            "How many requests took how long. Two bands mean two kinds of requests, which percentiles hide.",
            "s",
            queries.buckets(LATENCY, API),
        ),
        panels.over_time(
            "p95 by endpoint",
            "The time within which 95 % of an endpoint's requests are answered.",
            "s",
            queries.percentile_by("handler", LATENCY, API),
            limits=SLOW,
            width=HALF,
            link=TO_ERRORS,
        ),
        panels.bars(
            "Slowest endpoints",
            "The ten endpoints with the highest p95 in the shown range.",
            "s",
            queries.now(slowest, "{{handler}}"),
            limits=SLOW,
            width=HALF,
        ),
    ]


def _saturation() -> list[panels.Panel]:
    disk = """min by (instance, mountpoint) (
  node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"}
  / node_filesystem_size_bytes)"""
    health = """sum by (what) (
  label_replace(increase(reqtrail_faults_total[$__rate_interval]), "what", "faults", "", "")
  or label_replace(increase(reqtrail_log_lines_dropped_total[$__rate_interval]), "what", "log lines dropped", "", "")
  or label_replace(increase(reqtrail_metrics_series_dropped_total[$__rate_interval]), "what", "series dropped", "", "")
  or label_replace(increase(reqtrail_request_ids_rejected_total[$__rate_interval]), "what", "ids refused", "", ""))"""
    return [
        panels.over_time(
            "Requests in progress",
            "Requests that are being worked on, by endpoint. A rise without more traffic: something holds them up.",
            "short",
            queries.over_time(
                'sum by (handler) (http_requests_inprogress{job=~"$job", handler=~"$endpoint"})', "{{handler}}"
            ),
            stacked=True,
            link=TO_ERRORS,
        ),
        panels.over_time(
            "Connection pools of the API",
            "Connections of SQLAlchemy's pools that are handed out, as a part of what the pools may open. At 100 % "
            "requests wait.",
            "percentunit",
            queries.over_time(saturation.pool_ratio("job, instance, pool", 'job=~"$job"'), "{{instance}} {{pool}}"),
            limits=Limits(warning=0.7, critical=limits.POOL_RATIO),
        ),
        panels.over_time(
            "Connections of PostgreSQL",
            "Connections, as a part of those that are not kept for superusers. The red line is the limit of the alert "
            "DatabasePoolExhausted.",
            "percentunit",
            queries.over_time(saturation.connections_ratio(), "{{instance}}"),
            limits=Limits(warning=0.6, critical=limits.CONNECTIONS_RATIO),
        ),
        panels.over_time(
            "Messages that wait in queues",
            "Messages that no worker has taken yet.",
            "short",
            queries.over_time("max by (queue) (celery_queue_depth)", "{{queue}}"),
            limits=Limits(warning=limits.QUEUE_DEPTH / 2, critical=limits.QUEUE_DEPTH),
        ),
        panels.over_time(
            "CPU of the API",
            "Cores in use by all processes of the service on each host.",
            "short",
            queries.over_time(
                'sum by (job, instance) (rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval]))'
            ),
        ),
        panels.over_time(
            "Memory of the API",
            "Resident memory of all processes of the service on each host.",
            "bytes",
            queries.over_time('sum by (job, instance) (process_resident_memory_bytes{job=~"$job"})'),
        ),
        panels.over_time(
            "Free disk space",
            "Of each file system of the hosts. The red line is the limit of the alert DiskSpaceLow.",
            "percentunit",
            queries.over_time(disk, "{{instance}} {{mountpoint}}"),
            limits=Limits(warning=0.2, critical=limits.DISK_FREE_RATIO, low=True),
        ),
        panels.over_time(
            "Load of the hosts",
            "Cores in use, as a part of those that the host has.",
            "percentunit",
            queries.over_time(
                '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))', "{{instance}}"
            ),
            limits=Limits(warning=0.8, critical=0.95),
        ),
        panels.over_time(
            "What the instruments lost",
            "Faults of reqtrail itself, and what it could not write or count. Nothing of this fails a request. "
            "Label sets over the cap count as __overflow__: look for a label with values without end.",
            "short",
            queries.over_time(health, "{{what}}"),
            limits=Limits(warning=1),
        ),
    ]
