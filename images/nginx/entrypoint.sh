#!/bin/sh
# Fills /etc/nginx/templates/**/*.template from the environment before NGINX starts, with upstream's variables:
# NGINX_ENVSUBST_TEMPLATE_DIR, _TEMPLATE_SUFFIX, _OUTPUT_DIR, _FILTER. Only variables that are set are replaced, so that
# NGINX's own $names stay. A template that cannot be written ends the start instead of running with half a configuration.
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
target=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}

if [ "${1:-}" = nginx ] && [ -d "$templates" ]; then
    # shellcheck disable=SC2016 # the ${...} here are names for envsubst, not for this shell
    names=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
        'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }')
    find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
        relative=${template#"$templates"/}
        output=$target/${relative%"$suffix"}
        mkdir -p "$(dirname "$output")"
        envsubst "$names" < "$template" > "$output"
    done
fi
exec "$@"
