"""PostgreSQL: its load, its errors, what is slow and for whom, and what runs out."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import database_rows, limits, panels, queries, saturation, sheet
from monitoring.grafana.panels import HALF, Limits

SERVER = 'instance=~"$instance"'
DATABASE = 'instance=~"$instance", datname=~"$database"'


def dashboard() -> Dashboard:
    """Make it."""
    variables = [
        sheet.label_values("instance", "Server", "pg_up, instance", "The address of its exporter."),
        sheet.label_values(
            "database",
            "Database",
            'pg_stat_database_xact_commit{instance=~"$instance", datname!=""}, datname',
            "Its name.",
        ),
    ]
    rows = {
        "Traffic": _traffic(),
        "Errors": _errors(),
        "Latency: requests and statements": _latency(),
        "Saturation: connections, locks, transactions": _saturation(),
        "Saturation: tables and indexes": _storage(),
    }
    return sheet.dashboard(
        "reqtrail-database-performance",
        "Database performance",
        "What PostgreSQL is busy with, for which requests, what is slow, and what runs out.",
        ["prometheus", "loki", "postgres"],
        variables,
        rows,
    )


def _traffic() -> list[panels.Panel]:
    commits = f"sum by (datname) (rate(pg_stat_database_xact_commit{{{DATABASE}}}[$__rate_interval]))"
    statements = f"sum by (datname) (rate(pg_stat_statements_calls_total{{{DATABASE}}}[$__rate_interval]))"
    changed = [
        (f"sum(rate(pg_stat_database_tup_{what}{{{DATABASE}}}[$__rate_interval]))", what)
        for what in ("inserted", "updated", "deleted")
    ]
    return [
        panels.over_time(
            "Transactions",
            "Transactions that were committed, a second.",
            "ops",
            queries.over_time(commits, "{{datname}}"),
            stacked=True,
        ),
        panels.over_time(
            "Statements",
            "Statements, a second, as pg_stat_statements counts them.",
            "ops",
            queries.over_time(statements, "{{datname}}"),
            stacked=True,
        ),
        panels.over_time(
            "Rows written",
            "Rows that were inserted, updated and deleted, a second.",
            "ops",
            *(queries.over_time(expr, what) for expr, what in changed),
            stacked=True,
        ),
    ]


def _errors() -> list[panels.Panel]:
    rollbacks = f"sum by (datname) (rate(pg_stat_database_xact_rollback{{{DATABASE}}}[$__rate_interval]))"
    ended = f"sum by (datname) (rate(pg_stat_database_xact_commit{{{DATABASE}}}[$__rate_interval]))"
    trouble = [
        (f"sum(increase(pg_stat_database_{series}{{{DATABASE}}}[$__rate_interval]))", what)
        for series, what in (("deadlocks", "deadlocks"), ("conflicts", "conflicts with recovery"))
    ]
    return [
        panels.over_time(
            "Transactions rolled back",
            "As a part of all. A connection pool that is reset by ROLLBACK shows here too.",
            "percentunit",
            queries.over_time(f"{rollbacks}\n/ ({rollbacks} + {ended})", "{{datname}}"),
            limits=Limits(warning=0.1, critical=0.5),
            width=HALF,
        ),
        panels.over_time(
            "Deadlocks and conflicts",
            "How many: the server has ended one of the transactions that waited for each other, or a standby a query.",
            "short",
            *(queries.over_time(expr, what) for expr, what in trouble),
            limits=Limits(warning=1),
            width=HALF,
        ),
        panels.grid(
            "Recent errors",
            "What the server raised for a request, the newest first. The id links to the log lines of the request.",
            "short",
            queries.sql(database_rows.ERRORS),
            units={"queryid": "none"},
        ),
    ]


def _latency() -> list[panels.Panel]:
    mean = f"""sum by (datname) (rate(pg_stat_statements_seconds_total{{{DATABASE}}}[$__rate_interval]))
/ sum by (datname) (rate(pg_stat_statements_calls_total{{{DATABASE}}}[$__rate_interval]))"""
    times = dict.fromkeys(("total_time", "max_time", "mean_time"), "ms")
    of_requests = dict.fromkeys(
        ("total_time", "max_time", "plan_time", "commit_time", "idle_in_transaction_time"), "ms"
    )
    slow = Limits(warning=250, critical=1000)
    return [
        panels.over_time(
            "Time of requests in the database",
            "Percentiles over requests of the time that their statements took. As far as pg_stat_requests remembers.",
            "ms",
            queries.sql_over_time(database_rows.PERCENTILES),
            limits=slow,
            width=HALF,
        ),
        panels.latency_map_of_rows(
            "Time of requests in the database, distribution",
            "One point a request, by the time that all its statements took.",
            "ms",
            queries.sql_over_time(database_rows.TIMES),
        ),
        panels.over_time(
            "Mean time of a statement",
            "Over all statements, as pg_stat_statements counts them.",
            "s",
            queries.over_time(mean, "{{datname}}"),
            limits=Limits(warning=0.05, critical=0.25),
            width=HALF,
        ),
        panels.over_time(
            "Longest running transaction",
            "The age of the oldest open transaction of each state. The red line is the limit of the alert on it.",
            "s",
            queries.over_time(
                f"max by (datname, state) (pg_stat_activity_max_tx_duration{{{DATABASE}}})", "{{datname}} {{state}}"
            ),
            limits=Limits(warning=limits.LONG_TRANSACTION_SECONDS / 5, critical=limits.LONG_TRANSACTION_SECONDS),
            width=HALF,
        ),
        panels.grid(
            "The costliest requests",
            "The requests that took most of the server's time in the shown range, their tasks included. The id links "
            "to its log lines and to its look-up.",
            "short",
            queries.sql(database_rows.COSTLIEST),
            units=of_requests | {"wal_bytes": "bytes"},
            limits=slow,
            limited="total_time",
        ),
        panels.grid(
            "Ten slowest queries",
            "By their mean time, over all calls since pg_stat_statements was reset.",
            "short",
            queries.sql(database_rows.SLOWEST),
            units=times | {"queryid": "none"},
            limits=slow,
            limited="mean_time",
        ),
        panels.grid(
            "Slow statements and their requests",
            "Single statements that took longer than pg_stat_requests.slow_statement_threshold, the newest first.",
            "short",
            queries.sql(database_rows.SLOW_STATEMENTS),
            units={"duration": "ms"},
            limits=slow,
            limited="duration",
        ),
    ]


def _saturation() -> list[panels.Panel]:
    by_state = f"sum by (state) (pg_stat_activity_count{{{DATABASE}}})"
    waits = "histogram_quantile(0.95, sum by (pool, le) (rate(reqtrail_db_pool_wait_seconds_bucket[$__rate_interval])))"
    locks = f"sum by (mode) (pg_locks_count{{{DATABASE}}}) > 0"
    return [
        panels.over_time(
            "Connections",
            "By state, under the limit of the server. idle in transaction holds locks and keeps VACUUM from its work.",
            "short",
            queries.over_time(by_state, "{{state}}"),
            queries.over_time(f"min({saturation.connections_allowed(SERVER)})", "limit"),
        ),
        panels.over_time(
            "Connections against the limit",
            "As a part of those that are not kept for superusers. The red line is the limit of the alert "
            "DatabasePoolExhausted.",
            "percentunit",
            queries.over_time(saturation.connections_ratio(SERVER), "{{instance}}"),
            limits=Limits(warning=0.6, critical=limits.CONNECTIONS_RATIO),
        ),
        panels.over_time(
            "Locks",
            "Locks that are held or waited for, by mode.",
            "short",
            queries.over_time(locks, "{{mode}}"),
            stacked=True,
        ),
        panels.over_time(
            "Pools of the application",
            "Connections of SQLAlchemy's pools that are handed out, as a part of what the pools may open.",
            "percentunit",
            queries.over_time(saturation.pool_ratio("pool"), "{{pool}}"),
            limits=Limits(warning=0.7, critical=limits.POOL_RATIO),
        ),
        panels.over_time(
            "Wait for a connection of the pool",
            "p95 of the time from asking the pool to having a connection.",
            "s",
            queries.over_time(waits, "{{pool}}", exemplar=True),
            limits=Limits(warning=0.1, critical=1),
        ),
        panels.over_time(
            "Checkouts that wait",
            "Threads or tasks of the application that wait for a connection of their pool now.",
            "short",
            queries.over_time("sum by (pool) (reqtrail_db_pool_waiting)", "{{pool}}"),
            limits=Limits(warning=1, critical=10),
        ),
        panels.grid(
            "Requests in flight",
            "What the server is working on now, and which requests hold it up. The id links to its log lines.",
            "short",
            queries.sql(database_rows.IN_FLIGHT),
            units={"age": "s", "total_time": "ms", "pid": "none"},
            limits=Limits(warning=1, critical=30),
            limited="age",
        ),
        panels.grid(
            "Long transactions",
            "Open transactions, the oldest first, with the request that they work for.",
            "short",
            queries.sql(database_rows.LONG_TRANSACTIONS),
            units={"age": "s", "pid": "none"},
            limits=Limits(warning=limits.LONG_TRANSACTION_SECONDS / 5, critical=limits.LONG_TRANSACTION_SECONDS),
            limited="age",
        ),
    ]


def _storage() -> list[panels.Panel]:
    hits = f"sum by (datname) (rate(pg_stat_database_blks_hit{{{DATABASE}}}[$__rate_interval]))"
    reads = f"sum by (datname) (rate(pg_stat_database_blks_read{{{DATABASE}}}[$__rate_interval]))"
    table, index = "pg_stat_user_tables_table_size_bytes", "pg_stat_user_tables_index_size_bytes"
    size = f"""topk(10, sum by (datname, relname) (
  {table}{{{DATABASE}}} + {index}{{{DATABASE}}}))"""
    growth = f"""topk(10, sum by (datname, relname) (
  delta({table}{{{DATABASE}}}[$__range]) + delta({index}{{{DATABASE}}}[$__range])))"""
    return [
        panels.over_time(
            "Size of the databases",
            "On disk.",
            "bytes",
            queries.over_time(f"pg_database_size_bytes{{{DATABASE}}}", "{{datname}}"),
        ),
        panels.over_time(
            "Size of the largest tables",
            "With their indexes and TOAST, the ten largest.",
            "bytes",
            queries.over_time(size, "{{datname}} {{relname}}"),
            stacked=True,
        ),
        panels.bars(
            "Growth of tables",
            "By how much each table, with its indexes, grew in the shown range: the ten that grew most.",
            "bytes",
            queries.now(growth, "{{datname}} {{relname}}"),
        ),
        panels.over_time(
            "Blocks found in memory",
            "Blocks that were found in shared buffers, as a part of all that were asked for.",
            "percentunit",
            queries.over_time(f"{hits}\n/ ({hits} + {reads})", "{{datname}}"),
            limits=Limits(warning=0.99, critical=0.9, low=True),
            width=HALF,
        ),
        panels.grid(
            "What pg_stat_requests holds",
            "Of the requests last seen after complete_since it still holds every one. Is that too short a time? "
            "Raise pg_stat_requests.max.",
            "short",
            queries.sql(database_rows.HELD),
            units={"percent": "percent", "memory_bytes": "bytes"},
            width=HALF,
        ),
        panels.grid(
            "Tables",
            "Sizes, how tables are read, and what VACUUM has to do. Many sequential scans of a large table: an index "
            "is missing.",
            "short",
            queries.sql(database_rows.TABLES),
            units={"total": "bytes", "heap": "bytes", "indexes": "bytes", "dead_ratio": "percentunit"},
            limits=Limits(warning=0.1, critical=0.3),
            limited="dead_ratio",
        ),
        panels.grid(
            "Index usage",
            "The least used first: an index that is never scanned costs writes and memory. Unique ones enforce a rule "
            "even so.",
            "short",
            queries.sql(database_rows.INDEXES),
            units={"size": "bytes"},
        ),
        panels.grid(
            "Bloat of tables",
            "An estimate from the planner's statistics of the space that live rows do not need. New tables show after "
            "ANALYZE.",
            "short",
            queries.sql(database_rows.BLOAT),
            units={"size": "bytes", "bloat": "bytes", "bloat_ratio": "percentunit"},
            limits=Limits(warning=0.3, critical=0.5),
            limited="bloat_ratio",
        ),
    ]
