"""SQL of the dashboard about the database. Grafana replaces $__timeFilter and its like; the role needs pg_monitor."""

PERCENTILES = """
SELECT $__timeGroupAlias(last_seen, $__interval),
  percentile_cont(0.5) WITHIN GROUP (ORDER BY total_time) AS p50,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY total_time) AS p95,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY total_time) AS p99
FROM pg_stat_requests
WHERE $__timeFilter(last_seen)
GROUP BY 1
ORDER BY 1
"""

TIMES = """
SELECT last_seen AS time, total_time AS "time in the database"
FROM pg_stat_requests
WHERE $__timeFilter(last_seen)
ORDER BY 1
"""

COSTLIEST = """
SELECT request_id, last_seen, total_time, max_time, plan_time, commit_time, idle_in_transaction_time, statements,
  transactions, rollbacks, errors, last_sqlstate, rows, shared_blks_hit + shared_blks_read AS blocks, wal_bytes,
  (SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 100) FROM pg_stat_statements s
   WHERE s.queryid = r.top_queryid AND s.dbid = r.dbid LIMIT 1) AS top_statement, database, "user"
FROM (
  SELECT * FROM pg_stat_requests WHERE $__timeFilter(last_seen) ORDER BY total_time DESC LIMIT 20
) r
ORDER BY total_time DESC
"""

SLOWEST = """
SELECT mean_exec_time AS mean_time, max_exec_time AS max_time, total_exec_time AS total_time, calls, rows,
  d.datname AS database, left(regexp_replace(query, '\\s+', ' ', 'g'), 300) AS query, queryid
FROM pg_stat_statements s
JOIN pg_database d ON d.oid = s.dbid
ORDER BY mean_exec_time DESC
LIMIT 10
"""

SLOW_STATEMENTS = """
SELECT time, request_id, duration, left(regexp_replace(text, '\\s+', ' ', 'g'), 300) AS text
FROM pg_stat_requests_slow
WHERE $__timeFilter(time)
ORDER BY time DESC
LIMIT 50
"""

ERRORS = """
SELECT time, request_id, sqlstate, message, queryid
FROM pg_stat_requests_errors
WHERE $__timeFilter(time)
ORDER BY time DESC
LIMIT 50
"""

IN_FLIGHT = """
SELECT r.request_id, extract(epoch FROM clock_timestamp() - r.xact_start) AS age, r.statements, r.total_time, s.state,
  coalesce(s.wait_event_type || ': ' || s.wait_event, '-') AS waits_for,
  CASE WHEN cardinality(r.blocked_by) > 0 THEN array_to_string(r.blocked_by, ', ')
    ELSE 'pid ' || nullif(array_to_string(r.blocked_by_pids, ', '), '') END AS blocked_by,
  left(regexp_replace(s.query, '\\s+', ' ', 'g'), 200) AS query, r.database, r."user", r.pid
FROM pg_stat_requests_activity r
JOIN pg_stat_activity s ON s.pid = r.pid
ORDER BY r.xact_start
"""

LONG_TRANSACTIONS = """
SELECT extract(epoch FROM clock_timestamp() - s.xact_start) AS age, r.request_id, s.state,
  coalesce(s.wait_event_type || ': ' || s.wait_event, '-') AS waits_for, s.application_name,
  left(regexp_replace(s.query, '\\s+', ' ', 'g'), 200) AS query, s.datname AS database, s.usename AS "user", s.pid
FROM pg_stat_activity s
LEFT JOIN pg_stat_requests_activity r ON r.pid = s.pid
WHERE s.xact_start IS NOT NULL AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
ORDER BY s.xact_start
LIMIT 20
"""

HELD = """
SELECT used, capacity, round(100.0 * used / capacity, 1) AS percent, overwritten, complete_since, ignored_ids,
  memory_bytes, stats_reset
FROM pg_stat_requests_info
"""

TABLES = """
SELECT schemaname AS schema, relname AS table, pg_total_relation_size(relid) AS total, pg_table_size(relid) AS heap,
  pg_indexes_size(relid) AS indexes, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
  n_dead_tup::float8 / greatest(n_live_tup + n_dead_tup, 1) AS dead_ratio, seq_scan AS sequential_scans,
  seq_tup_read AS rows_read_by_them, idx_scan AS index_scans, greatest(last_vacuum, last_autovacuum) AS last_vacuum
FROM pg_stat_user_tables
ORDER BY total DESC
LIMIT 50
"""

INDEXES = """
SELECT s.schemaname AS schema, s.relname AS table, s.indexrelname AS index, s.idx_scan AS scans,
  s.idx_tup_read AS entries_read, s.idx_tup_fetch AS rows_fetched, pg_relation_size(s.indexrelid) AS size,
  i.indisunique AS is_unique
FROM pg_stat_user_indexes s
JOIN pg_index i USING (indexrelid)
ORDER BY s.idx_scan, size DESC
LIMIT 50
"""

BLOAT = """
SELECT schema, "table", size, bloat, bloat_ratio
FROM reqtrail.table_bloat
ORDER BY bloat DESC
LIMIT 50
"""
