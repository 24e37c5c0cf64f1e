-- One request from its first statement to its row. Only numbers that are the same in every run.
SELECT pg_stat_requests_reset();
CREATE TABLE book (id int PRIMARY KEY, title text);
BEGIN;
SET LOCAL pg_stat_requests.request_id = 'req-1';
INSERT INTO book SELECT g, 'title ' || g FROM generate_series(1, 100) g;
SELECT count(*) FROM book;
COMMIT;
SELECT request_id, database = current_database() AS here, "user" = current_user AS mine,
       transactions, rollbacks, statements, errors, rows,
       total_time >= max_time AND max_time > 0 AS timed, first_seen < last_seen AS seen,
       shared_blks_hit > 0 AS hit, shared_blks_dirtied > 0 AS dirtied,
       wal_records >= 200 AS wal, wal_bytes > 200 * 30 AS wal_bytes
  FROM pg_stat_requests;

-- The look-up shows the same row.
SELECT (SELECT r FROM pg_stat_requests('req-1') r) = (SELECT r FROM pg_stat_requests r WHERE request_id = 'req-1') AS same;
SELECT * FROM pg_stat_requests('req-0');

-- Its statements; without query ids, by a hash of their texts.
SELECT request_id, database = current_database() AS here, "user" = current_user AS mine, calls, rows,
       total_time >= max_time AND max_time > 0 AS timed, queryid <> 0 AS known
  FROM pg_stat_requests_statements('req-1') ORDER BY rows;
SELECT (SELECT array_agg(s ORDER BY queryid) FROM pg_stat_requests_statements('req-1') s)
     = (SELECT array_agg(s ORDER BY queryid) FROM pg_stat_requests_statements s WHERE request_id = 'req-1') AS same;

-- Failure: the statement, the error and the rollback count.
BEGIN;
SELECT set_config('pg_stat_requests.request_id', 'req-2', true);
UPDATE book SET title = '' WHERE id <= 10;
INSERT INTO book VALUES (1, 'there already');
COMMIT;
-- The same request again, by another transaction.
BEGIN;
SELECT set_config('pg_stat_requests.request_id', 'req-2', true);
UPDATE book SET title = '' WHERE id <= 10;
COMMIT;
SELECT request_id, transactions, rollbacks, statements, errors, last_sqlstate, rows FROM pg_stat_requests ORDER BY request_id;
SELECT request_id, database = current_database() AS here, "user" = current_user AS mine, pid = pg_backend_pid() AS me,
       sqlstate, message, queryid IS NULL AS unknown FROM pg_stat_requests_errors;

-- Slow statements: all of them.
SET pg_stat_requests.slow_statement_threshold = 0;
BEGIN;
SET LOCAL pg_stat_requests.request_id = 'req-2b';
SELECT 1 AS one;
SELECT 2 AS two; SELECT 3 AS three;
COMMIT;
RESET pg_stat_requests.slow_statement_threshold;
SELECT request_id, duration > 0 AS timed, text FROM pg_stat_requests_slow ORDER BY time;
SELECT pg_stat_requests_reset('req-2b');
SELECT count(*) FROM pg_stat_requests('req-2b');
SELECT count(*) FROM pg_stat_requests_slow WHERE request_id = 'req-2b';

-- Transaction control and the setting itself are no statements.
BEGIN;
SET LOCAL pg_stat_requests.request_id = 'req-3';
SAVEPOINT a;
ROLLBACK TO a;
RELEASE a;
SET LOCAL "PG_STAT_REQUESTS.Request_Id" = 'req-3';
SET LOCAL pg_stat_requests.request_id TO DEFAULT;
SET LOCAL pg_stat_requests.request_id = 'req-3';
COMMIT AND NO CHAIN;
SELECT transactions, rollbacks, statements, errors, rows FROM pg_stat_requests('req-3');

-- The request in flight.
BEGIN;
SET LOCAL pg_stat_requests.request_id = 'req-4';
SELECT 1 AS one;
SELECT pid = pg_backend_pid() AS me, request_id, statements, total_time > 0 AS timed, xact_start = now() AS started,
       statement_start IS NOT NULL AS running, waits_for_lock, blocked_by_pids, blocked_by
  FROM pg_stat_requests_activity;
COMMIT;
SELECT count(*) FROM pg_stat_requests_activity;

-- Ids that are none.
BEGIN;
SET LOCAL pg_stat_requests.request_id = 'no id';
SELECT set_config('pg_stat_requests.request_id', repeat('x', 129), true);
SHOW pg_stat_requests.request_id;
COMMIT;
SELECT used, merged, overwritten, ignored_ids FROM pg_stat_requests_info;

SELECT pg_stat_requests_reset();
SELECT count(*) FROM pg_stat_requests;
SELECT count(*) FROM pg_stat_requests_errors;
SELECT used, merged, overwritten, ignored_ids, oldest_retained IS NULL AS empty, complete_since = stats_reset AS complete
  FROM pg_stat_requests_info;
DROP TABLE book;
