#!/usr/bin/env bash
# Makes the application's role and database, the extensions in it, and the role that reads statistics. The image runs it
# when the data directory is empty. Passwords are read from the files of the container's secrets.
#
#   REQTRAIL_SHARE    where exporter_user.sql is
#   SECRETS           where commandcenter_password and exporter_password are
set -euo pipefail
share=${REQTRAIL_SHARE:-/usr/local/share/reqtrail}
secrets=${SECRETS:-/run/secrets}

as_superuser() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" "$@"; }

as_superuser --dbname postgres --set password="$(<"$secrets/commandcenter_password")" <<'SQL'
CREATE ROLE commandcenter LOGIN PASSWORD :'password';
CREATE DATABASE commandcenter OWNER commandcenter;
SQL
as_superuser --dbname commandcenter <<'SQL'
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pg_stat_requests;
SQL
as_superuser --dbname commandcenter --file "$share/exporter_user.sql"
as_superuser --dbname commandcenter --set password="$(<"$secrets/exporter_password")" <<'SQL'
ALTER ROLE exporter_user PASSWORD :'password';
SQL
