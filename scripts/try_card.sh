#!/usr/bin/env bash
# Does a card work here? Runs one language model on it and another in RAM at the same time, asks both at once, and
# checks that each is where its table says.
#
#   scripts/try_card.sh [DEVICE]        DEVICE as `megabrain devices` lists it   [default: cuda0]
#
# Settings, from the environment:
#   PROGRAMS    folder of the built programs                  [default: target/release]
#   WEIGHTS     a GGUF file or a name of models/manifest.toml [default: smollm2-135m]
set -euo pipefail

device=${1:-cuda0}
programs=$(realpath "${PROGRAMS:-${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/release}")
weights=${WEIGHTS:-smollm2-135m}
work=$(mktemp -d)
export PATH=$programs:$PATH XDG_RUNTIME_DIR=$work
unset NATS_URL

cat >"$work/brain.toml" <<BRAIN
[brain]
name = "card"
[bus]
store = "$work/bus"
[models.fast]
actor = "llm"
weights = "$weights"
device = "$device"
slots = 64
[models.deep]
actor = "llm"
weights = "$weights"
device = "ram"
BRAIN

megabrain devices
megabrain up "$work/brain.toml" >"$work/log" 2>&1 &
node=$!
stop() {
    kill "$node" 2>/dev/null && wait "$node" || true
    rm -rf "$work"
}
trap stop EXIT
for _ in $(seq 300); do
    if megabrain status >/dev/null 2>&1; then break; fi
    kill -0 "$node" || { cat "$work/log"; exit 1; }
    sleep 0.2
done

ask() { megabrain req "mb.v1.chat.$1" '{"messages":[{"role":"user","content":"Tell me about the sea."}],"max_tokens":200,"temperature":0}'; }
ask fast >"$work/fast" &
asked=$!
ask deep >"$work/deep"
wait "$asked"
for model in fast deep; do echo "$model: $(cat "$work/$model")"; done
megabrain models
if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv || true
fi

megabrain models --json | python3 -c '
import json, sys
card = sys.argv[1]
answer = json.load(sys.stdin)
models = {model["model"]: model for model in (answer["models"] if isinstance(answer, dict) else answer)}
where = {name: models[name]["device"] for name in ("fast", "deep")}
assert where == {"fast": card, "deep": "ram"}, where
print(f"fast is on {card} and deep in ram, as their tables say")
' "$device"
