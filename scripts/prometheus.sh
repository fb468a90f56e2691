#!/usr/bin/env bash
# Prints the folder of promtool and prometheus: the system's, or those of Debian's package, unpacked into the cache folder.
# Installed, that package would start a server that every network reaches.
set -euo pipefail

folder=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain/prometheus

if tool=$(command -v promtool) && command -v prometheus >/dev/null; then
    dirname "$tool"
    exit
fi
if [ ! -d "$folder" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "prometheus.sh: there is no promtool, and no apt-get to fetch it: install Prometheus" >&2
        exit 1
    fi
    mkdir -p "$(dirname "$folder")"
    fresh=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    download() { (cd "$fresh" && apt-get download prometheus >log 2>&1); }
    # Where apt has no lists yet, only root can have them brought.
    if ! download && ! { [ "$(id -u)" = 0 ] && apt-get update -qq && download; }; then
        cat "$fresh/log" >&2
        echo "prometheus.sh: cannot fetch Debian's package prometheus; 'apt-get update' may help" >&2
        exit 1
    fi
    dpkg -x "$fresh"/prometheus_*.deb "$fresh/unpacked"
    mv "$fresh/unpacked" "$folder"
fi
echo "$folder/usr/bin"
