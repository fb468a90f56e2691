#!/usr/bin/env bash
# Makes .env, which compose.yaml reads: a password of the bus for each role, the secret that callbacks are
# signed with, and the group that may use graphics cards.
# Never overwrites one: a bus that runs knows the old passwords.
#
#   scripts/make_env.sh [FILE]
set -euo pipefail
cd "$(dirname "$0")/.."

file=${1:-.env}
if [ -e "$file" ]; then
    echo "make_env.sh: $file is there already" >&2
    exit 1
fi

# Begins with a letter: the parser of nats.conf takes 123 for a number.
password() { echo "p$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"; }

umask 077
{
    for role in CLIENT MODEL NODE ADMIN N8N; do
        echo "MEGABRAIN_${role}_PASSWORD=$(password)"
    done
    echo "MEGABRAIN_CALLBACK_SECRET=whsec_$(head -c 32 /dev/urandom | base64)"
    card=$(compgen -G "/dev/dri/renderD*" | sed -n 1p || true)
    if [ -n "$card" ]; then
        echo "RENDER_GROUP=$(stat --format %g "$card")"
    fi
} >"$file"
echo "make_env.sh: $file has passwords and secret, for you alone"
