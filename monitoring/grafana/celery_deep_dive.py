"""What the workers do: throughput, failures, durations, and how long messages wait for them."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import limits, panels, queries, sheet
from monitoring.grafana.panels import HALF, Limits

TASKS = 'job=~"$job", task=~"$task", queue=~"$queue"'
DURATION = "celery_task_duration_seconds"
WAIT = "celery_task_queue_wait_seconds"
WAITING = Limits(warning=limits.QUEUE_WAIT_SECONDS / 2, critical=limits.QUEUE_WAIT_SECONDS)


def dashboard() -> Dashboard:
    """Make it."""
    variables = [
        sheet.label_values("job", "Job", "celery_tasks_total, job", "The scrape job of the workers."),
        sheet.label_values("task", "Task", 'celery_tasks_total{job=~"$job"}, task', "Names of tasks."),
        sheet.label_values("queue", "Queue", 'celery_tasks_total{job=~"$job"}, queue', "Queues, by their routing key."),
        sheet.services(),
    ]
    rows = {"Traffic": _traffic(), "Errors": _errors(), "Latency": _latency(), "Saturation": _saturation()}
    return sheet.dashboard(
        "reqtrail-celery-deep-dive",
        "Celery",
        "What the workers do, how often it fails, how long it takes, and how long messages wait for them.",
        ["prometheus", "loki"],
        variables,
        rows,
    )


def _traffic() -> list[panels.Panel]:
    by_task = f"60 * sum by (task) (rate(celery_tasks_total{{{TASKS}}}[$__rate_interval]))"
    by_state = f"60 * sum by (state) (rate(celery_tasks_total{{{TASKS}}}[$__rate_interval]))"
    sent = '60 * sum(rate(celery_tasks_sent_total{task=~"$task", queue=~"$queue"}[$__rate_interval]))'
    ended = f"60 * sum(rate(celery_tasks_total{{{TASKS}}}[$__rate_interval]))"
    return [
        panels.over_time(
            "Tasks by type",
            "Tasks that ended, a minute. Exemplars are single requests: a click opens their log lines.",
            "opm",
            queries.over_time(by_task, "{{task}}", exemplar=True),
            stacked=True,
        ),
        panels.over_time(
            "Tasks by state",
            "Runs that ended, a minute, by how they ended. A retry is a run of its own.",
            "opm",
            queries.over_time(by_state, "{{state}}"),
            stacked=True,
        ),
        panels.over_time(
            "Sent and ended",
            "Messages that were published and runs that ended, a minute. More sent than ended: the queue grows.",
            "opm",
            queries.over_time(sent, "sent"),
            queries.over_time(ended, "ended"),
        ),
    ]


def _errors() -> list[panels.Panel]:
    failed = queries.grown_a_second("celery_tasks_total", f'{TASKS}, state="FAILURE"', "task")
    finished = f'sum by (task) (rate(celery_tasks_total{{{TASKS}, state=~"SUCCESS|FAILURE"}}[$__rate_interval]))'
    by_type = "60 * " + queries.grown_a_second("celery_task_failures_total", TASKS, "task, error_type")
    retries = f"sum by (task) (rate(celery_task_retries_total{{{TASKS}}}[$__rate_interval])) * 60"
    lines = """{service=~"$service", level=~"ERROR|CRITICAL"} | json | task =~ "$task"
| line_format "{{.task}} {{.error_type}}: {{.error_message}}\\n{{.exception}}\""""
    return [
        panels.over_time(
            "Failure ratio by type",
            "Tasks that failed, as a part of those that succeeded or failed. The red line is the limit of the alert.",
            "percentunit",
            queries.over_time(f"({failed} or {finished} * 0)\n/ {finished}", "{{task}}", exemplar=True),
            limits=Limits(warning=limits.TASK_FAILURE_RATIO / 5, critical=limits.TASK_FAILURE_RATIO),
        ),
        panels.over_time(
            "Failures by exception",
            "Tasks that failed, a minute. TimeLimitExceeded and WorkerLostError: the process was killed.",
            "opm",
            queries.over_time(by_type, "{{task}} {{error_type}}", exemplar=True),
            stacked=True,
        ),
        panels.over_time(
            "Retries by type",
            "Retries, a minute. Their cause is in the field error_type of the log lines.",
            "opm",
            queries.over_time(retries, "{{task}}"),
            stacked=True,
        ),
        panels.lines(
            "Failed tasks with stack traces",
            "One line a failed task, the newest first. Unfold a line for its stack trace and its request id.",
            queries.log_lines(lines),
        ),
    ]


def _latency() -> list[panels.Panel]:
    mean = f"""sum by (task) (rate({DURATION}_sum{{{TASKS}}}[$__rate_interval]))
/ sum by (task) (rate({DURATION}_count{{{TASKS}}}[$__rate_interval]))"""
    busiest = f"topk(10, sum by (task) (increase({DURATION}_sum{{{TASKS}}}[$__range])))"
    return [
        panels.over_time(
            "Duration",
            "How long runs take. Exemplars are single requests: a click opens their log lines.",
            "s",
            *queries.percentiles(DURATION, TASKS),
            width=HALF,
        ),
        panels.latency_map(
            "Duration, distribution", "How many runs took how long.", "s", queries.buckets(DURATION, TASKS)
        ),
        panels.over_time(
            "p95 of the duration by type",
            "The time within which 95 % of the runs of a type end.",
            "s",
            queries.percentile_by("task", DURATION, TASKS),
        ),
        panels.over_time(
            "Mean duration by type", "Of the runs of each type.", "s", queries.over_time(mean, "{{task}}")
        ),
        panels.bars(
            "Where the workers' time goes",
            "Seconds of run time in the shown range, by type: the first ones are worth making faster.",
            "s",
            queries.now(busiest, "{{task}}"),
        ),
        panels.over_time(
            "Wait in the queue",
            "From the publish (or the ETA, where that is later) to the start. The red line is the limit of the alert.",
            "s",
            *queries.percentiles(WAIT, TASKS),
            limits=WAITING,
            width=HALF,
        ),
        panels.latency_map(
            "Wait in the queue, distribution", "How many messages waited how long.", "s", queries.buckets(WAIT, TASKS)
        ),
    ]


def _saturation() -> list[panels.Panel]:
    depth = 'max by (queue) (celery_queue_depth{queue=~"$queue"})'
    drain = f"""{depth}
/ sum by (queue) (rate(celery_tasks_total{{{TASKS}}}[$__rate_interval]))"""
    return [
        panels.number(
            "Workers that are up",
            "Worker processes that take tasks. The alert CeleryWorkerDown fires at 0.",
            "short",
            queries.now('sum(max by (instance) (celery_workers_active{job=~"$job"}))', "workers"),
            limits=Limits(critical=1, low=True),
            width=panels.THIRD,
        ),
        panels.number(
            "Tasks that run",
            "Tasks that the workers are working on.",
            "short",
            queries.now('sum(max by (instance) (celery_worker_tasks_active{job=~"$job"}))', "tasks"),
            width=panels.THIRD,
        ),
        panels.number(
            "Messages that wait",
            "In all queues, of all priorities.",
            "short",
            queries.now(f"sum({depth})", "messages"),
            limits=Limits(warning=limits.QUEUE_DEPTH / 2, critical=limits.QUEUE_DEPTH),
            width=panels.THIRD,
        ),
        panels.over_time(
            "Queue depth",
            "Messages that no worker has taken yet. The red line is the limit of the alert. A gap: the broker did not "
            "answer.",
            "short",
            queries.over_time(depth, "{{queue}}"),
            limits=Limits(warning=limits.QUEUE_DEPTH / 2, critical=limits.QUEUE_DEPTH),
            width=HALF,
        ),
        panels.over_time(
            "Time to empty the queue",
            "Messages that wait, by the rate at which tasks end: how long the last one waits if nothing changes.",
            "s",
            queries.over_time(drain, "{{queue}}"),
            limits=WAITING,
            width=HALF,
        ),
        panels.states(
            "Status of the workers",
            "Each worker by its node name: green while it takes tasks, red from the moment its main process has ended.",
            queries.over_time('max by (hostname) (celery_worker_up{job=~"$job"})', "{{hostname}}"),
        ),
        panels.over_time(
            "Tasks that run, by host",
            "Tasks that are running, by the host of the workers. As many as there are processes: the workers are full.",
            "short",
            queries.over_time('max by (instance) (celery_worker_tasks_active{job=~"$job"})', "{{instance}}"),
            width=HALF,
        ),
    ]
