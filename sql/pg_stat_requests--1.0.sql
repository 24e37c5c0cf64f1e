/* pg_stat_requests 1.0 */

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_stat_requests" to load this file. \quit

CREATE FUNCTION pg_stat_requests_all(
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT first_seen timestamptz,
    OUT last_seen timestamptz,
    OUT transactions bigint,
    OUT rollbacks bigint,
    OUT statements bigint,
    OUT errors bigint,
    OUT last_sqlstate text,
    OUT rows bigint,
    OUT total_time double precision,
    OUT max_time double precision,
    OUT plan_time double precision,
    OUT commit_time double precision,
    OUT idle_in_transaction_time double precision,
    OUT shared_blks_hit bigint,
    OUT shared_blks_read bigint,
    OUT shared_blks_dirtied bigint,
    OUT shared_blks_written bigint,
    OUT local_blks_hit bigint,
    OUT local_blks_read bigint,
    OUT local_blks_dirtied bigint,
    OUT local_blks_written bigint,
    OUT temp_blks_read bigint,
    OUT temp_blks_written bigint,
    OUT blk_read_time double precision,
    OUT blk_write_time double precision,
    OUT temp_blk_read_time double precision,
    OUT temp_blk_write_time double precision,
    OUT wal_records bigint,
    OUT wal_fpi bigint,
    OUT wal_bytes bigint,
    OUT user_time double precision,
    OUT system_time double precision,
    OUT backends bigint,
    OUT statements_dropped bigint,
    OUT top_queryid bigint,
    OUT top_time double precision
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_all_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 10000;
COMMENT ON FUNCTION pg_stat_requests_all() IS
    'what the view pg_stat_requests shows; use the view';

CREATE VIEW pg_stat_requests AS
    SELECT * FROM pg_stat_requests_all();
COMMENT ON VIEW pg_stat_requests IS
    'what each request did and cost: one row per request id, database and user; other users'' rows need pg_read_all_stats';
COMMENT ON COLUMN pg_stat_requests.request_id IS
    'the request id: the one in effect when the work was done';
COMMENT ON COLUMN pg_stat_requests.database IS
    'name of the database; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests."user" IS
    'name of the role in effect (SET ROLE counts, SECURITY DEFINER does not); NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests.dbid IS
    'oid of the database';
COMMENT ON COLUMN pg_stat_requests.userid IS
    'oid of the role in effect';
COMMENT ON COLUMN pg_stat_requests.first_seen IS
    'when the first statement for the request arrived';
COMMENT ON COLUMN pg_stat_requests.last_seen IS
    'when the last work for the request was recorded: usually the end of its last transaction';
COMMENT ON COLUMN pg_stat_requests.transactions IS
    'transactions that have ended, rolled back ones included';
COMMENT ON COLUMN pg_stat_requests.rollbacks IS
    'transactions that were rolled back';
COMMENT ON COLUMN pg_stat_requests.statements IS
    'top-level statements, failed ones included; without transaction control and SET of the request id';
COMMENT ON COLUMN pg_stat_requests.errors IS
    'errors that the server logged (needs log_min_messages at error or below)';
COMMENT ON COLUMN pg_stat_requests.last_sqlstate IS
    'SQLSTATE of the last of them; NULL: there was none';
COMMENT ON COLUMN pg_stat_requests.rows IS
    'rows that statements returned or changed';
COMMENT ON COLUMN pg_stat_requests.total_time IS
    'time spent executing statements, failed ones included, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.max_time IS
    'time of the longest statement, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.plan_time IS
    'time spent planning statements, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.commit_time IS
    'time from the COMMIT to its end, deferred triggers and waiting for the disk and standbys included, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.idle_in_transaction_time IS
    'time that open transactions waited for their client, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.shared_blks_hit IS
    'shared blocks found in the buffer cache; as all below, from the id coming into effect to the end of the transaction';
COMMENT ON COLUMN pg_stat_requests.shared_blks_read IS
    'shared blocks read';
COMMENT ON COLUMN pg_stat_requests.shared_blks_dirtied IS
    'shared blocks dirtied';
COMMENT ON COLUMN pg_stat_requests.shared_blks_written IS
    'shared blocks written by the backend itself';
COMMENT ON COLUMN pg_stat_requests.local_blks_hit IS
    'blocks of temporary tables found in local buffers';
COMMENT ON COLUMN pg_stat_requests.local_blks_read IS
    'blocks of temporary tables read';
COMMENT ON COLUMN pg_stat_requests.local_blks_dirtied IS
    'blocks of temporary tables dirtied';
COMMENT ON COLUMN pg_stat_requests.local_blks_written IS
    'blocks of temporary tables written';
COMMENT ON COLUMN pg_stat_requests.temp_blks_read IS
    'blocks of temporary files (sorts, hashes) read';
COMMENT ON COLUMN pg_stat_requests.temp_blks_written IS
    'blocks of temporary files (sorts, hashes) written';
COMMENT ON COLUMN pg_stat_requests.blk_read_time IS
    'time spent reading shared and local blocks, in milliseconds; 0 without track_io_timing';
COMMENT ON COLUMN pg_stat_requests.blk_write_time IS
    'time spent writing shared and local blocks, in milliseconds; 0 without track_io_timing';
COMMENT ON COLUMN pg_stat_requests.temp_blk_read_time IS
    'time spent reading temporary files, in milliseconds; 0 without track_io_timing';
COMMENT ON COLUMN pg_stat_requests.temp_blk_write_time IS
    'time spent writing temporary files, in milliseconds; 0 without track_io_timing';
COMMENT ON COLUMN pg_stat_requests.wal_records IS
    'WAL records, that of the commit included';
COMMENT ON COLUMN pg_stat_requests.wal_fpi IS
    'WAL full page images';
COMMENT ON COLUMN pg_stat_requests.wal_bytes IS
    'WAL, in bytes';
COMMENT ON COLUMN pg_stat_requests.user_time IS
    'CPU time in user mode, without that of parallel workers, in milliseconds; 0 without pg_stat_requests.track_cpu';
COMMENT ON COLUMN pg_stat_requests.system_time IS
    'CPU time in the kernel, without that of parallel workers, in milliseconds; 0 without pg_stat_requests.track_cpu';
COMMENT ON COLUMN pg_stat_requests.backends IS
    'different backends that worked for the request, by process id modulo 64';
COMMENT ON COLUMN pg_stat_requests.statements_dropped IS
    'calls of statements that are not in pg_stat_requests_statements because eight others weighed more';
COMMENT ON COLUMN pg_stat_requests.top_queryid IS
    'query id of the statement with the most time';
COMMENT ON COLUMN pg_stat_requests.top_time IS
    'its time, in milliseconds';

CREATE FUNCTION pg_stat_requests(request_id text)
RETURNS SETOF pg_stat_requests
AS 'MODULE_PATHNAME', 'pg_stat_requests_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION pg_stat_requests(text) IS
    'the rows of the view pg_stat_requests for one request id, found without reading the others';

CREATE FUNCTION pg_stat_requests_statements_all(
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT queryid bigint,
    OUT calls bigint,
    OUT total_time double precision,
    OUT max_time double precision,
    OUT rows bigint
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_statements_all_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 50000;
COMMENT ON FUNCTION pg_stat_requests_statements_all() IS
    'what the view pg_stat_requests_statements shows; use the view';

CREATE VIEW pg_stat_requests_statements AS
    SELECT * FROM pg_stat_requests_statements_all();
COMMENT ON VIEW pg_stat_requests_statements IS
    'the statements of each request, the eight that weigh most: many calls of one are an N+1';
COMMENT ON COLUMN pg_stat_requests_statements.request_id IS
    'the request id: the one in effect when the work was done';
COMMENT ON COLUMN pg_stat_requests_statements.database IS
    'name of the database; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_statements."user" IS
    'name of the role in effect (SET ROLE counts, SECURITY DEFINER does not); NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_statements.dbid IS
    'oid of the database';
COMMENT ON COLUMN pg_stat_requests_statements.userid IS
    'oid of the role in effect';
COMMENT ON COLUMN pg_stat_requests_statements.queryid IS
    'query id, as in pg_stat_statements; where the server computes none, a hash of the text';
COMMENT ON COLUMN pg_stat_requests_statements.calls IS
    'how often it was executed';
COMMENT ON COLUMN pg_stat_requests_statements.total_time IS
    'time spent executing it, in milliseconds';
COMMENT ON COLUMN pg_stat_requests_statements.max_time IS
    'time of the longest execution, in milliseconds';
COMMENT ON COLUMN pg_stat_requests_statements.rows IS
    'rows that it returned or changed; at most 4294967295';

CREATE FUNCTION pg_stat_requests_statements(request_id text)
RETURNS SETOF pg_stat_requests_statements
AS 'MODULE_PATHNAME', 'pg_stat_requests_statements_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 8;
COMMENT ON FUNCTION pg_stat_requests_statements(text) IS
    'the rows of the view pg_stat_requests_statements for one request id, found without reading the others';

CREATE FUNCTION pg_stat_requests_activity(
    OUT pid integer,
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT xact_start timestamptz,
    OUT since timestamptz,
    OUT statement_start timestamptz,
    OUT statements bigint,
    OUT total_time double precision,
    OUT idle_in_transaction_time double precision,
    OUT waits_for_lock boolean
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_activity_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION pg_stat_requests_activity() IS
    'what the view pg_stat_requests_activity shows, but for who blocks whom; use the view';

CREATE VIEW pg_stat_requests_activity AS
    SELECT a.*, blocking.pids AS blocked_by_pids,
           ARRAY(SELECT DISTINCT other.request_id FROM pg_stat_requests_activity() other
                 WHERE other.pid = ANY (blocking.pids) ORDER BY 1) AS blocked_by
    FROM pg_stat_requests_activity() a
    CROSS JOIN LATERAL (SELECT CASE WHEN a.waits_for_lock THEN pg_blocking_pids(a.pid) ELSE '{}' END) AS blocking(pids);
COMMENT ON VIEW pg_stat_requests_activity IS
    'requests in flight: one row per backend in a transaction that works for a request; joins pg_stat_activity on pid';
COMMENT ON COLUMN pg_stat_requests_activity.pid IS
    'process id of the backend';
COMMENT ON COLUMN pg_stat_requests_activity.request_id IS
    'the request id';
COMMENT ON COLUMN pg_stat_requests_activity.database IS
    'name of the database';
COMMENT ON COLUMN pg_stat_requests_activity."user" IS
    'name of the role in effect';
COMMENT ON COLUMN pg_stat_requests_activity.dbid IS
    'oid of the database';
COMMENT ON COLUMN pg_stat_requests_activity.userid IS
    'oid of the role in effect';
COMMENT ON COLUMN pg_stat_requests_activity.xact_start IS
    'when the transaction started';
COMMENT ON COLUMN pg_stat_requests_activity.since IS
    'when the backend began to work for this request, in this transaction';
COMMENT ON COLUMN pg_stat_requests_activity.statement_start IS
    'when the running statement started; NULL: none is running';
COMMENT ON COLUMN pg_stat_requests_activity.statements IS
    'top-level statements since then, the running one included';
COMMENT ON COLUMN pg_stat_requests_activity.total_time IS
    'time of the finished ones, in milliseconds';
COMMENT ON COLUMN pg_stat_requests_activity.idle_in_transaction_time IS
    'time that the transaction waited for its client, up to the last statement, in milliseconds';
COMMENT ON COLUMN pg_stat_requests_activity.waits_for_lock IS
    'whether the backend waits for a lock';
COMMENT ON COLUMN pg_stat_requests_activity.blocked_by_pids IS
    'process ids of the backends that hold it, or wait for it in front (pg_blocking_pids)';
COMMENT ON COLUMN pg_stat_requests_activity.blocked_by IS
    'the requests that those work for; without those that you may not see';

CREATE FUNCTION pg_stat_requests_errors(
    OUT "time" timestamptz,
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT pid integer,
    OUT sqlstate text,
    OUT message text,
    OUT queryid bigint
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_errors_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 1000;
COMMENT ON FUNCTION pg_stat_requests_errors() IS
    'what the view pg_stat_requests_errors shows; use the view';

CREATE VIEW pg_stat_requests_errors AS
    SELECT * FROM pg_stat_requests_errors();
COMMENT ON VIEW pg_stat_requests_errors IS
    'the last errors of requests (pg_stat_requests.max_errors of them)';
COMMENT ON COLUMN pg_stat_requests_errors."time" IS
    'when it was reported';
COMMENT ON COLUMN pg_stat_requests_errors.request_id IS
    'the request id: the one in effect when the work was done';
COMMENT ON COLUMN pg_stat_requests_errors.database IS
    'name of the database; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_errors."user" IS
    'name of the role in effect (SET ROLE counts, SECURITY DEFINER does not); NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_errors.dbid IS
    'oid of the database';
COMMENT ON COLUMN pg_stat_requests_errors.userid IS
    'oid of the role in effect';
COMMENT ON COLUMN pg_stat_requests_errors.pid IS
    'process id of the backend';
COMMENT ON COLUMN pg_stat_requests_errors.sqlstate IS
    'SQLSTATE';
COMMENT ON COLUMN pg_stat_requests_errors.message IS
    'message, its first 256 bytes';
COMMENT ON COLUMN pg_stat_requests_errors.queryid IS
    'query id of the statement, as in pg_stat_requests_statements; NULL if it did not start';

CREATE FUNCTION pg_stat_requests_slow(
    OUT "time" timestamptz,
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT pid integer,
    OUT duration double precision,
    OUT queryid bigint,
    OUT text text
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_slow_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 1000;
COMMENT ON FUNCTION pg_stat_requests_slow() IS
    'what the view pg_stat_requests_slow shows; use the view';

CREATE VIEW pg_stat_requests_slow AS
    SELECT * FROM pg_stat_requests_slow();
COMMENT ON VIEW pg_stat_requests_slow IS
    'the last statements of requests that took at least pg_stat_requests.slow_statement_threshold';
COMMENT ON COLUMN pg_stat_requests_slow."time" IS
    'when it ended';
COMMENT ON COLUMN pg_stat_requests_slow.request_id IS
    'the request id: the one in effect when the work was done';
COMMENT ON COLUMN pg_stat_requests_slow.database IS
    'name of the database; NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_slow."user" IS
    'name of the role in effect (SET ROLE counts, SECURITY DEFINER does not); NULL if it was dropped';
COMMENT ON COLUMN pg_stat_requests_slow.dbid IS
    'oid of the database';
COMMENT ON COLUMN pg_stat_requests_slow.userid IS
    'oid of the role in effect';
COMMENT ON COLUMN pg_stat_requests_slow.pid IS
    'process id of the backend';
COMMENT ON COLUMN pg_stat_requests_slow.duration IS
    'how long it took, in milliseconds';
COMMENT ON COLUMN pg_stat_requests_slow.queryid IS
    'query id, as in pg_stat_requests_statements';
COMMENT ON COLUMN pg_stat_requests_slow.text IS
    'text of the statement as the client sent it, its first 1024 bytes';

CREATE FUNCTION pg_stat_requests_info(
    OUT capacity bigint,
    OUT used bigint,
    OUT overwritten bigint,
    OUT complete_since timestamptz,
    OUT merged bigint,
    OUT oldest_retained timestamptz,
    OUT notable_capacity bigint,
    OUT notable_used bigint,
    OUT notable_overwritten bigint,
    OUT notable_complete_since timestamptz,
    OUT errors_capacity bigint,
    OUT errors_used bigint,
    OUT errors_overwritten bigint,
    OUT errors_complete_since timestamptz,
    OUT slow_capacity bigint,
    OUT slow_used bigint,
    OUT slow_overwritten bigint,
    OUT slow_complete_since timestamptz,
    OUT ignored_ids bigint,
    OUT memory_bytes bigint,
    OUT stats_reset timestamptz
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_info_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION pg_stat_requests_info() IS
    'what the view pg_stat_requests_info shows; use the view';

CREATE VIEW pg_stat_requests_info AS
    SELECT * FROM pg_stat_requests_info();
COMMENT ON VIEW pg_stat_requests_info IS
    'one row about pg_stat_requests itself: what it holds and what it has lost';
COMMENT ON COLUMN pg_stat_requests_info.capacity IS
    'rows that can be held (pg_stat_requests.max)';
COMMENT ON COLUMN pg_stat_requests_info.used IS
    'rows that are held';
COMMENT ON COLUMN pg_stat_requests_info.overwritten IS
    'rows that gave way to newer ones';
COMMENT ON COLUMN pg_stat_requests_info.complete_since IS
    'every request that was last seen after this moment is still held';
COMMENT ON COLUMN pg_stat_requests_info.merged IS
    'times that work was added to a row that was there already';
COMMENT ON COLUMN pg_stat_requests_info.oldest_retained IS
    'the earliest last_seen among all rows that are held; NULL if there is none';
COMMENT ON COLUMN pg_stat_requests_info.notable_capacity IS
    'rows with errors or a long duration that can be held when they would give way (pg_stat_requests.max_notable)';
COMMENT ON COLUMN pg_stat_requests_info.notable_used IS
    'such rows that are held';
COMMENT ON COLUMN pg_stat_requests_info.notable_overwritten IS
    'such rows that gave way to newer ones';
COMMENT ON COLUMN pg_stat_requests_info.notable_complete_since IS
    'every request with errors or a long duration that was last seen after this moment is still held';
COMMENT ON COLUMN pg_stat_requests_info.errors_capacity IS
    'errors that can be held (pg_stat_requests.max_errors)';
COMMENT ON COLUMN pg_stat_requests_info.errors_used IS
    'errors that are held';
COMMENT ON COLUMN pg_stat_requests_info.errors_overwritten IS
    'errors that gave way to newer ones';
COMMENT ON COLUMN pg_stat_requests_info.errors_complete_since IS
    'every error after this moment is still held';
COMMENT ON COLUMN pg_stat_requests_info.slow_capacity IS
    'slow statements that can be held (pg_stat_requests.max_slow)';
COMMENT ON COLUMN pg_stat_requests_info.slow_used IS
    'slow statements that are held';
COMMENT ON COLUMN pg_stat_requests_info.slow_overwritten IS
    'slow statements that gave way to newer ones';
COMMENT ON COLUMN pg_stat_requests_info.slow_complete_since IS
    'every slow statement after this moment is still held';
COMMENT ON COLUMN pg_stat_requests_info.ignored_ids IS
    'ids that were refused, in the setting or in a comment';
COMMENT ON COLUMN pg_stat_requests_info.memory_bytes IS
    'shared memory in use, in bytes; it never changes while the server runs';
COMMENT ON COLUMN pg_stat_requests_info.stats_reset IS
    'when the numbers were last reset, or the server started with none';

CREATE FUNCTION pg_stat_requests_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'pg_stat_requests_reset_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pg_stat_requests_reset() IS
    'forget all rows and numbers; not granted to public';
REVOKE ALL ON FUNCTION pg_stat_requests_reset() FROM PUBLIC;

CREATE FUNCTION pg_stat_requests_reset(request_id text)
RETURNS void
AS 'MODULE_PATHNAME', 'pg_stat_requests_reset_one_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pg_stat_requests_reset(text) IS
    'forget the rows, errors and slow statements of one request; not granted to public';
REVOKE ALL ON FUNCTION pg_stat_requests_reset(text) FROM PUBLIC;

GRANT SELECT ON pg_stat_requests, pg_stat_requests_statements, pg_stat_requests_activity, pg_stat_requests_errors,
    pg_stat_requests_slow, pg_stat_requests_info TO PUBLIC;
