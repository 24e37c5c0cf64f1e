-- What CREATE EXTENSION makes: every object, its columns and types, and who may use it. From PostgreSQL 17 on the row
-- types of views are members too.
CREATE EXTENSION pg_stat_requests;
SELECT pg_describe_object(classid, objid, 0) AS object FROM pg_depend
  WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_stat_requests') AND deptype = 'e'
    AND classid <> 'pg_type'::regclass ORDER BY 1;
SELECT relname AS view, attname AS column, format_type(atttypid, atttypmod) AS type, col_description(c.oid, attnum) AS meaning
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0
  WHERE relname LIKE 'pg\_stat\_requests%' AND relkind = 'v' ORDER BY relname, attnum;
SELECT relname AS view, has_table_privilege('pg_monitor', oid, 'SELECT') AS readable,
       has_table_privilege('pg_monitor', oid, 'INSERT') AS writable, obj_description(oid, 'pg_class') AS meaning
  FROM pg_class WHERE relname LIKE 'pg\_stat\_requests%' AND relkind = 'v' ORDER BY relname;
SELECT oid::regprocedure AS function, pg_get_function_result(oid) LIKE 'SETOF %' AS rows,
       has_function_privilege('pg_monitor', oid, 'EXECUTE') AS callable, obj_description(oid, 'pg_proc') AS meaning
  FROM pg_proc WHERE proname LIKE 'pg\_stat\_requests%' ORDER BY proname;
SELECT name, setting, vartype, context, min_val, max_val, boot_val FROM pg_settings
  WHERE name LIKE 'pg_stat_requests.%' ORDER BY name;
-- It can be dropped and made again, in another schema too.
DROP EXTENSION pg_stat_requests;
CREATE SCHEMA elsewhere;
CREATE EXTENSION pg_stat_requests SCHEMA elsewhere;
SELECT count(*) >= 0 AS works FROM elsewhere.pg_stat_requests('x');
ALTER EXTENSION pg_stat_requests SET SCHEMA public;
SELECT count(*) >= 0 AS works FROM pg_stat_requests;
DROP SCHEMA elsewhere;
