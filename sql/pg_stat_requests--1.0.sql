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
    OUT total_time double precision,
    OUT max_time double precision,
    OUT rows bigint,
    OUT shared_blks_hit bigint,
    OUT shared_blks_read bigint,
    OUT shared_blks_dirtied bigint,
    OUT shared_blks_written bigint,
    OUT wal_records bigint,
    OUT wal_fpi bigint,
    OUT wal_bytes bigint
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
    'the request id: the value of pg_stat_requests.request_id when the work was done';
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
COMMENT ON COLUMN pg_stat_requests.total_time IS
    'time spent executing statements, failed ones included, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.max_time IS
    'time of the longest statement, in milliseconds';
COMMENT ON COLUMN pg_stat_requests.rows IS
    'rows that statements returned or changed';
COMMENT ON COLUMN pg_stat_requests.shared_blks_hit IS
    'shared blocks found in the buffer cache; as all below, from the id coming into effect to the end of the transaction';
COMMENT ON COLUMN pg_stat_requests.shared_blks_read IS
    'shared blocks read';
COMMENT ON COLUMN pg_stat_requests.shared_blks_dirtied IS
    'shared blocks dirtied';
COMMENT ON COLUMN pg_stat_requests.shared_blks_written IS
    'shared blocks written by the backend itself';
COMMENT ON COLUMN pg_stat_requests.wal_records IS
    'WAL records, that of the commit included';
COMMENT ON COLUMN pg_stat_requests.wal_fpi IS
    'WAL full page images';
COMMENT ON COLUMN pg_stat_requests.wal_bytes IS
    'WAL, in bytes';

CREATE FUNCTION pg_stat_requests(request_id text)
RETURNS SETOF pg_stat_requests
AS 'MODULE_PATHNAME', 'pg_stat_requests_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION pg_stat_requests(text) IS
    'the rows of the view pg_stat_requests for one request id, found without reading the others';

CREATE FUNCTION pg_stat_requests_activity(
    OUT pid integer,
    OUT request_id text,
    OUT database name,
    OUT "user" name,
    OUT dbid oid,
    OUT userid oid,
    OUT xact_start timestamptz,
    OUT since timestamptz,
    OUT statements bigint,
    OUT total_time double precision
)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pg_stat_requests_activity_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION pg_stat_requests_activity() IS
    'what the view pg_stat_requests_activity shows; use the view';

CREATE VIEW pg_stat_requests_activity AS
    SELECT * FROM pg_stat_requests_activity();
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
COMMENT ON COLUMN pg_stat_requests_activity.statements IS
    'top-level statements since then, the running one included';
COMMENT ON COLUMN pg_stat_requests_activity.total_time IS
    'time of the finished ones, in milliseconds';

CREATE FUNCTION pg_stat_requests_info(
    OUT capacity bigint,
    OUT used bigint,
    OUT merged bigint,
    OUT overwritten bigint,
    OUT oldest_retained timestamptz,
    OUT complete_since timestamptz,
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
COMMENT ON COLUMN pg_stat_requests_info.merged IS
    'times that work was added to a row that was there already';
COMMENT ON COLUMN pg_stat_requests_info.overwritten IS
    'rows that gave way to newer ones';
COMMENT ON COLUMN pg_stat_requests_info.oldest_retained IS
    'the earliest last_seen among the rows that are held; NULL if there is none';
COMMENT ON COLUMN pg_stat_requests_info.complete_since IS
    'every request that was last seen after this moment is still held';
COMMENT ON COLUMN pg_stat_requests_info.ignored_ids IS
    'values for pg_stat_requests.request_id that were refused with a warning';
COMMENT ON COLUMN pg_stat_requests_info.memory_bytes IS
    'shared memory in use, in bytes; it never changes while the server runs';
COMMENT ON COLUMN pg_stat_requests_info.stats_reset IS
    'when the numbers were last reset, or the server started';

CREATE FUNCTION pg_stat_requests_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'pg_stat_requests_reset_1_0'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pg_stat_requests_reset() IS
    'forget all rows and numbers; not granted to public';
REVOKE ALL ON FUNCTION pg_stat_requests_reset() FROM PUBLIC;

GRANT SELECT ON pg_stat_requests, pg_stat_requests_activity, pg_stat_requests_info TO PUBLIC;
