#!/bin/bash
# Starts Postgres; on an empty data folder it first makes the cluster, with the contract of the upstream image:
# POSTGRES_PASSWORD_FILE (or POSTGRES_PASSWORD), POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS,
# /docker-entrypoint-initdb.d/*.sh, *.sql, *.sql.gz. Other commands than postgres run as they are.
set -euo pipefail

die() { echo "postgres: $*" >&2; exit 1; }

if [ "${1:0:1}" = "-" ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
    # Started as root (no `user:`): take the volume over once, then give root up.
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    find "$PGDATA" /run/postgresql ! -user postgres -exec chown postgres:postgres {} +
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

superuser=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$superuser}

query() { psql --no-psqlrc -v ON_ERROR_STOP=1 --no-password --username "$superuser" --dbname "$database" "$@"; }

run_init_file() {
    echo "postgres: running $1"
    case $1 in
        # A script that is not executable is sourced, as upstream does, so that it sees the variables of this one.
        *.sh)
            if [ -x "$1" ]; then "$1"; else
                # shellcheck source=/dev/null
                . "$1"
            fi
            ;;
        *.sql) query --file "$1" ;;
        *.sql.gz) gunzip --stdout "$1" | query ;;
        *) echo "postgres: ignoring $1" ;;
    esac
}

make_cluster() {
    local password=${POSTGRES_PASSWORD:-}
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(< "$POSTGRES_PASSWORD_FILE"); fi
    [ -n "$password" ] || die "set POSTGRES_PASSWORD_FILE to a file that is not empty"

    # Half a cluster would pass for a whole one at the next start: on any failure the folder is emptied again.
    trap 'pg_ctl --pgdata "$PGDATA" --mode immediate stop >/dev/null 2>&1 || true
          find "$PGDATA" -mindepth 1 -delete; die "the database could not be initialised"' EXIT

    # shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is a list of words on purpose
    initdb --pgdata "$PGDATA" --username "$superuser" --pwfile <(printf '%s\n' "$password") \
        --auth-local trust --auth-host scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"

    # Only on the socket, so that nobody connects before the cluster is complete.
    pg_ctl --pgdata "$PGDATA" --wait --silent -o "-c listen_addresses=''" start
    if [ "$database" != postgres ]; then
        psql --no-psqlrc -v ON_ERROR_STOP=1 -v name="$database" --username "$superuser" --dbname postgres \
            <<< 'CREATE DATABASE :"name";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        if [ -f "$file" ]; then run_init_file "$file"; fi
    done
    pg_ctl --pgdata "$PGDATA" --mode fast --wait --silent stop
    trap - EXIT
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then make_cluster; fi
exec "$@"
