#!/usr/bin/env bash
# Does the console show a real brain, in a real browser? Brings Debian's Chromium and what drives it, then runs the starter
# brain and looks at the page. Needs what `make build` and `make pull` made, and npm.
#
#   MEGABRAIN_PROGRAMS      folder of the brain's programs; without it, where `make build` puts them
#   MEGABRAIN_SCREENSHOTS   folder that pictures of the page go to; without it, there are none
#   CHROMIUM                another Chromium than /usr/bin/chromium
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
command -v npm >/dev/null || packages+=(npm)
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || packages+=(chromium)
if [ ${#packages[@]} -gt 0 ]; then
    install=(apt-get install --no-install-recommends --yes "${packages[@]}")
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        as_root=(env DEBIAN_FRONTEND=noninteractive)
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
    else
        echo "test_console.sh: packages are missing, and I may not install them. Please run" >&2
        echo "    sudo apt-get update && sudo ${install[*]}" >&2
        exit 1
    fi
    echo "installing ${packages[*]}"
    "${as_root[@]}" apt-get update --quiet=2
    "${as_root[@]}" "${install[@]}" >/dev/null
fi

export CARGO_TARGET_DIR
CARGO_TARGET_DIR=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
cd tests/console
npm ci --ignore-scripts --no-audit --no-fund --loglevel error
npm test
