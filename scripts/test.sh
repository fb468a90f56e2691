#!/usr/bin/env bash
# All tests but those of `make test-…`, one stage after the other; stops at the first that fails, and says at the end
# what ran and for how long.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain
venv=$cache/venv
ran=()
stage=

stage() {
    stage=$1
    shift
    local began=$SECONDS
    printf '\n── %s\n' "$stage"
    "$@"
    ran+=("$stage $((SECONDS - began)) s")
    stage=
}
tell() {
    local status=$?
    printf '\n'
    [ "$status" = 0 ] || echo "make test: FAILED${stage:+ at: $stage}, after $SECONDS s"
    [ ${#ran[@]} = 0 ] || (IFS=,; echo "make test ran:${ran[*]/#/ }")
}
trap tell EXIT

stage "system packages" scripts/setup.sh test
stage "build" make --no-print-directory build
stage "check" make --no-print-directory check
stage "compose file" scripts/check_compose.sh
stage "rules of Prometheus" scripts/check_observe.sh
stage "starter models" python3 models/pull.py
stage "test models" python3 models/pull.py smollm2-135m-moe smollm2-135m-colours ms-marco-minilm-l12 whisper-base
stage "Vulkan backend" models/backends/build.sh vulkan
stage "model scripts" python3 -m unittest discover -b models
stage "Python: rights, contract, dialogue, trace, clients of OpenAI and Ollama, schemathesis" "$venv/bin/pytest" -q tests/python
stage "Rust examples in the docs" cargo test --release --workspace --locked --doc --quiet
stage "README: the sample actor" scripts/readme_actor.sh
stage "Rust" "$venv/bin/cargo-nextest" nextest run --release --workspace --locked
