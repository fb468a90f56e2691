#!/usr/bin/env bash
# Brings what a build needs, and with `test` or `console` what those tests need besides. Says nothing and takes no time
# where all is there. Installs packages as root or with a sudo that asks for no password; otherwise names the exact
# command.
set -euo pipefail

packages=()
# want PACKAGE COMMAND…: the package is missing if the command fails.
want() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}
has() { command -v "$1"; }
has_file() { compgen -G "$1"; }
has_libclang() { [ -n "${LIBCLANG_PATH:-}" ] || has_file "/usr/lib/llvm-*/lib/libclang*.so*" || has_library libclang; }
# Reads to the end: a reader that stops early would end ldconfig, which then counts as a failure.
has_library() { ldconfig -p | grep "$1" >/dev/null; }
has_compose() { docker compose version || has docker-compose; }

look() {
    packages=()
    want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    want g++ has c++
    want cmake has cmake
    want ninja-build has ninja
    want pkg-config has pkg-config
    # bindgen reads C headers with libclang, and finds the compiler's own headers through clang.
    want clang has clang
    want libclang-dev has_libclang
    # Makes the phonemes of voices; a program of its own, called by the voice actor.
    want espeak-ng has espeak-ng
    want python3 has python3
    want python3-venv python3 -c "import venv, ensurepip"
    want python3-pip python3 -m pip --version
    # The starter brain takes films apart with it.
    want ffmpeg has ffmpeg
    want ffmpeg has ffprobe
    if [ "${1:-}" = test ]; then
        # A second device of another vendor, in software: Vulkan on the processor.
        want glslc has glslc
        want libvulkan1 has_library libvulkan.so.1
        want mesa-vulkan-drivers has_file "/usr/share/vulkan/icd.d/lvp_icd*.json"
        want docker-compose has_compose
    fi
    if [ "${1:-}" = console ]; then
        want npm has npm
        want chromium test -x "${CHROMIUM:-/usr/bin/chromium}"
    fi
}

look "$@"
if [ ${#packages[@]} -gt 0 ]; then
    install=(apt-get install --no-install-recommends --yes "${packages[@]}")
    if ! command -v apt-get >/dev/null; then
        echo "setup: this system has no apt-get; install its equivalents of: ${packages[*]}" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=(env DEBIAN_FRONTEND=noninteractive)
    elif sudo -n true 2>/dev/null; then
        as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
    else
        echo "setup: packages are missing, and I may not install them. Please run" >&2
        echo "    sudo apt-get update && sudo ${install[*]}" >&2
        exit 1
    fi
    echo "setup: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" "${install[@]}" -qq >/dev/null
    look "$@"
    if [ ${#packages[@]} -gt 0 ]; then
        echo "setup: installed, yet not found: ${packages[*]}" >&2
        exit 1
    fi
fi

if ! python3 -c "import sys; sys.exit(sys.version_info < (3, 11))"; then
    echo "setup: $(python3 --version) is too old, 3.11 is needed" >&2
    exit 1
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
if [ "$(printf '%s\n' "$wanted" "${found:-0}" | sort -V | sed -n 1p)" != "$wanted" ]; then
    echo "setup: Rust $wanted or later is needed, here is ${found:-none}: see https://rustup.rs, or run 'rustup update'" >&2
    exit 1
fi
