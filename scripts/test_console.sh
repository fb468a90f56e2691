#!/usr/bin/env bash
# Does the console show a real brain, in a real browser? Brings Debian's Chromium and what drives it, then runs the starter
# brain and looks at the page. Needs what `make build` and `make pull` made, and Node.js 20.11
# or later.
#
#   MEGABRAIN_PROGRAMS      folder of the brain's programs; without it, where `make build` puts them
#   MEGABRAIN_SCREENSHOTS   folder that pictures of the page go to; without it, there are none
#   CHROMIUM                another Chromium than /usr/bin/chromium
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh console
if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 11) ? 0 : 1)'; then
    echo "test_console.sh: Node.js $(node --version) is too old, 20.11 is needed" >&2
    exit 1
fi

export CARGO_TARGET_DIR
CARGO_TARGET_DIR=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
cd tests/console
npm ci --ignore-scripts --no-audit --no-fund --loglevel error
npm test
