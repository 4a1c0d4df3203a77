#!/bin/bash
# Starts Neo4j Community with the contract of the upstream image, as far as our Compose file relies on it:
# NEO4J_AUTH_FILE (or NEO4J_AUTH) with user/password for an empty /data; NEO4J_server_memory_heap_max__size and the like
# become settings (one underscore is a dot, two are an underscore). Everything written outside /data and /logs goes to
# /tmp, so that the root file system may be read-only.
set -euo pipefail

die() { echo "neo4j: $*" >&2; exit 1; }

if [ "${1:-}" != neo4j ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
    # Started as root (no `user:`): take the volumes over once, then give root up.
    find /data /logs ! -user neo4j -exec chown neo4j:neo4j {} +
    exec setpriv --reuid=neo4j --regid=neo4j --init-groups "$0" "$@"
fi

logs=/logs
[ -w "$logs" ] || logs=/tmp/neo4j-logs
export NEO4J_HOME=/var/lib/neo4j NEO4J_CONF=/tmp/neo4j-conf
mkdir -p "$NEO4J_CONF" "$logs"

declare -A settings=(
    [server.default_listen_address]=0.0.0.0
    [server.directories.data]=/data
    [server.directories.logs]=$logs
    [server.directories.run]=/tmp
    [server.logs.config]=/opt/neo4j/server-logs.xml
    [db.logs.query.enabled]=OFF
    [server.directories.transaction.logs.root]=/data/transactions
    [dbms.usage_report.enabled]=false
)
for variable in "${!NEO4J_@}"; do
    name=${variable#NEO4J_}
    case $name in HOME | CONF | AUTH | AUTH_FILE | AUTH_PATH | ACCEPT_LICENSE_AGREEMENT | EDITION | PLUGINS) continue ;; esac
    # An environment variable cannot hold a dot; the three steps turn a__b_c into a_b.c.
    name=${name//__/$'\n'}
    name=${name//_/.}
    settings[${name//$'\n'/_}]=${!variable}
done
for name in "${!settings[@]}"; do
    echo "$name=${settings[$name]}"
done > "$NEO4J_CONF/neo4j.conf"

# netty and the page cache reach into the JDK's buffers; upstream's launcher opens the same packages.
java=(
    java -cp "/opt/neo4j/lib/*"
    --add-opens=java.base/java.nio=ALL-UNNAMED
    --add-opens=java.base/java.io=ALL-UNNAMED
    --add-opens=java.base/sun.nio.ch=ALL-UNNAMED
    # Native parts lie ready in the image: /tmp, where they would be unpacked, allows no programs.
    -Djava.library.path=/opt/neo4j/native -Djna.boot.library.path=/opt/neo4j/native -Djna.nounpack=true
    -Dorg.xerial.snappy.lib.path=/opt/neo4j/native
    -Dlog4j2.disable.jmx=true
)

auth=${NEO4J_AUTH:-}
if [ -n "${NEO4J_AUTH_FILE:-}" ]; then auth=$(< "$NEO4J_AUTH_FILE"); fi
if [ ! -e /data/databases/system ] && [ ! -e /data/dbms/auth.ini ]; then
    [[ $auth == neo4j/?* ]] || die "NEO4J_AUTH_FILE must be a file that holds neo4j/<password>"
    "${java[@]}" -Xmx128m -XX:TieredStopAtLevel=1 org.neo4j.cli.AdminTool dbms set-initial-password "${auth#neo4j/}" \
        || die "the first password could not be set"
fi

heap_max=${settings[server.memory.heap.max_size]:-512m}
exec "${java[@]}" -Xms"${settings[server.memory.heap.initial_size]:-$heap_max}" -Xmx"$heap_max" \
    -XX:+ExitOnOutOfMemoryError -XX:-OmitStackTraceInFastThrow -XX:+DisableExplicitGC \
    -Djdk.nio.maxCachedBufferSize=1024 -Dio.netty.tryReflectionSetAccessible=true \
    org.neo4j.server.CommunityEntryPoint --home-dir="$NEO4J_HOME" --config-dir="$NEO4J_CONF" --console-mode
