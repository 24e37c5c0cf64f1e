-- The role that postgres_exporter and Grafana connect as: it reads statistics, and nothing else.
--
--   psql -d the_application -f exporter_user.sql        as a superuser, in each database that is looked at
--   \password exporter_user                             or by certificate, without a password
--
-- Plain SQL that may be run again, so that a migration can execute it too (docs/monitoring.md).

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'exporter_user') THEN
        CREATE ROLE exporter_user LOGIN;
    END IF;
END
$$;
ALTER ROLE exporter_user NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10;
GRANT pg_monitor TO exporter_user;

-- A look at the server must not become a load on it: no writing, and no waiting behind anybody's lock.
ALTER ROLE exporter_user SET default_transaction_read_only = on;
ALTER ROLE exporter_user SET statement_timeout = '10s';
ALTER ROLE exporter_user SET lock_timeout = '1s';
ALTER ROLE exporter_user SET idle_in_transaction_session_timeout = '10s';

DO $$
DECLARE
    view_name regclass;
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO exporter_user', current_database());
    -- PUBLIC may read them unless somebody took that away.
    FOR view_name IN
        SELECT d.objid::regclass
        FROM pg_extension e
        JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
        JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'v'
        WHERE e.extname IN ('pg_stat_requests', 'pg_stat_statements')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO exporter_user', view_name);
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS reqtrail;
-- Somebody else's schema or view of that name would have exporter_user run that somebody's code.
ALTER SCHEMA reqtrail OWNER TO CURRENT_USER;
COMMENT ON SCHEMA reqtrail IS 'what the dashboards need and the system views do not show';
GRANT USAGE ON SCHEMA reqtrail TO exporter_user;

-- pg_stats shows a role only the tables that it may read. This view shows of all tables how wide their rows are, and no
-- value out of them. One statement, which locks it: psql commits each by itself, and the owner of a view of that name
-- could put another query into it before it changes hands.
DO $$
BEGIN
CREATE OR REPLACE VIEW reqtrail.table_bloat AS
WITH measured AS (
    SELECT
        c.oid,
        n.nspname,
        c.relname,
        pg_relation_size(c.oid) AS size,
        c.reltuples,
        current_setting('block_size')::float8 AS block_size,
        coalesce((SELECT option_value::float8 / 100 FROM pg_options_to_table(c.reloptions)
                  WHERE option_name = 'fillfactor'), 1) AS fill,
        -- the header of a row with its line pointer, and its columns, rounded up to 8 bytes
        28 + 8 * ceil(w.width / 8) AS row_width
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL (
        SELECT sum((1 - s.stanullfrac) * s.stawidth)::float8 AS width
        FROM pg_statistic s
        WHERE s.starelid = c.oid AND NOT s.stainherit
    ) w ON w.width IS NOT NULL
    WHERE c.relkind IN ('r', 'm') AND c.reltuples >= 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema')
),
needed AS (
    SELECT m.*, least(size, block_size * ceil(reltuples * row_width / ((block_size - 24) * fill))) AS needed
    FROM measured m
)
SELECT
    nspname AS schema,
    relname AS "table",
    size,
    (size - needed)::bigint AS bloat,
    coalesce((size - needed) / nullif(size, 0), 0) AS bloat_ratio
FROM needed;
ALTER VIEW reqtrail.table_bloat OWNER TO CURRENT_USER;
END
$$;
COMMENT ON VIEW reqtrail.table_bloat IS
    'an estimate, from the statistics of ANALYZE, of the space in each table that its live rows do not need';
COMMENT ON COLUMN reqtrail.table_bloat.schema IS 'name of the schema';
COMMENT ON COLUMN reqtrail.table_bloat."table" IS 'name of the table or materialized view';
COMMENT ON COLUMN reqtrail.table_bloat.size IS 'size of its main fork, in bytes';
COMMENT ON COLUMN reqtrail.table_bloat.bloat IS 'space that its live rows do not need, in bytes';
COMMENT ON COLUMN reqtrail.table_bloat.bloat_ratio IS 'bloat as a part of size';
GRANT SELECT ON reqtrail.table_bloat TO exporter_user;
