#!/usr/bin/env bash
# Can every Compose that is here read compose.yaml, each profile of it alone and all together? Is all that it mounts there,
# and all that it publishes on the loopback only? Nothing is started.
set -euo pipefail
cd "$(dirname "$0")/.."

profiles=(observe n8n cuda vulkan rocm)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/make_env.sh "$work/env" >/dev/null

fail() { echo "check_compose.sh: $*" >&2; exit 1; }

# The whole file as a Compose reads it, with the profiles named.
config() {
    local flags=()
    for profile in "$@"; do flags+=(--profile "$profile"); done
    "${compose[@]}" --env-file "$work/env" "${flags[@]}" config
}

# Of a port, the first version writes 127.0.0.1:8080:8080/tcp, or else target and published on lines of their own; the
# second always has such lines, and before them host_ip.
published_elsewhere() {
    awk '/^ *- .*\/(tcp|udp)$/ && !/- 127\.0\.0\.1:/ { print }
         /^ *host_ip: 127\.0\.0\.1$/ { local = 1 }
         /^ *(- )?target: "?[0-9]+"?$/ { if (!local) print; local = 0 }' "$1"
}

check() {
    compose=("$@")
    config >"$work/config" || fail "${compose[*]} does not read compose.yaml"
    for profile in "${profiles[@]}"; do
        config "$profile" >"$work/config" || fail "${compose[*]} does not read the profile $profile"
    done
    config "${profiles[@]}" >"$work/config"
    published_elsewhere "$work/config" >"$work/elsewhere"
    [ ! -s "$work/elsewhere" ] || fail "published beyond the loopback: $(cat "$work/elsewhere")"
    grep -q 127.0.0.1 "$work/config" || fail "${compose[*]} publishes nothing"
    echo "compose.yaml is valid, all profiles, as $("${compose[@]}" version --short) reads it"
}

readers=0
if docker compose version >/dev/null 2>&1; then check docker compose; readers=1; fi
if command -v docker-compose >/dev/null; then check docker-compose; readers=1; fi
[ $readers = 1 ] || fail "there is no Docker Compose"

for profile in $(sed -n 's/^ *profiles: \[\(.*\)\]$/\1/p' compose.yaml | sort -u); do
    [[ " ${profiles[*]} " == *" $profile "* ]] || fail "the profile $profile is not in the list of this script"
done
# What n8n mounts is built by hand.
for mounted in $(grep -o '\./[^:} ]*' compose.yaml | grep -v '^\./n8n/dist$'); do
    [ -e "$mounted" ] || fail "compose.yaml mounts $mounted, which is not there"
done
