#!/bin/bash
# Run once by the postgres image, when the database is new: a role that owns Huren's database and nothing else.
set -euo pipefail
PGPASSWORD=$(<"${SECRETS:-/run/secrets}/postgres_password")
HUREN_ROLE_PASSWORD=$(<"${SECRETS:-/run/secrets}/postgres_role_password")
export PGPASSWORD HUREN_ROLE_PASSWORD
psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\getenv password HUREN_ROLE_PASSWORD
CREATE ROLE huren LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE huren OWNER huren ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE huren FROM PUBLIC;
SQL
