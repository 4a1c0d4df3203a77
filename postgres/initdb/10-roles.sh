#!/bin/sh
# Runs once, on an empty data directory: two roles with the least that each needs.
#   modporter_migrator  owns the schema; only the one-shot `migrate` service has its password
#   modporter_app       reads and writes rows, and can change no table
set -eu

migrator_password=$(cat /run/secrets/database_migrator_password)
app_password=$(cat /run/secrets/database_app_password)

psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" \
    -v database="$POSTGRES_DB" -v migrator_password="$migrator_password" -v app_password="$app_password" <<'SQL'
CREATE EXTENSION IF NOT EXISTS vector;

CREATE ROLE modporter_migrator LOGIN PASSWORD :'migrator_password';
CREATE ROLE modporter_app LOGIN PASSWORD :'app_password';

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO modporter_migrator, modporter_app;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO modporter_migrator;
GRANT USAGE ON SCHEMA public TO modporter_app;

ALTER DEFAULT PRIVILEGES FOR ROLE modporter_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO modporter_app;
ALTER DEFAULT PRIVILEGES FOR ROLE modporter_migrator IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO modporter_app;
ALTER DEFAULT PRIVILEGES FOR ROLE modporter_migrator IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO modporter_app;
SQL
