#!/usr/bin/env bash
# Does `docker compose up` bring up a brain that answers, and that answers again when a container has died? With the final
# stage of the Dockerfile, compose.yaml as it is but for the names of the images, and the starter models.
#
# Needs a Docker engine (a daemon is started if none runs, and stopped again), the programs of `make build` and the models
# of `make pull`. Images that cannot be pulled are made here: Debian by debootstrap, the bus from the fetched nats-server.
#
#   MEGABRAIN_PROGRAMS   folder of the brain's programs; without it, where `make build` puts them
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${MEGABRAIN_PROGRAMS:-${CARGO_TARGET_DIR:-target}/release}
models=${XDG_CACHE_HOME:-$HOME/.cache}/megabrain/models
project=megabrain-test-$$
debian=trixie
work=$(mktemp -d /var/tmp/megabrain-containers.XXXXXX)
daemon=
why=

fail() { echo "test_containers.sh: $*" >&2; exit 1; }
say() { printf '── %s\n' "$*"; }

# ── The engine

need_engine() {
    local missing=()
    for program in docker dockerd debootstrap iptables; do
        command -v $program >/dev/null || missing+=("$program")
    done
    if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
    command -v "${compose[0]}" >/dev/null || missing+=("docker-compose")
    [ ${#missing[@]} = 0 ] || fail "${missing[*]} missing. On Debian:
    apt-get install --no-install-recommends docker.io docker-compose debootstrap iptables"
    [ -x "$programs/megabrain" ] || fail "no $programs/megabrain: run 'make build'"
}

# A daemon of our own keeps everything in a folder of our own.
start_daemon() {
    if docker info >/dev/null 2>&1; then return; fi
    [ "$(id -u)" = 0 ] || fail "no Docker daemon answers, and only root can start one: start it, or run this as root"
    say "starting a Docker daemon"
    export DOCKER_HOST=unix://$work/docker.sock
    dockerd --host "$DOCKER_HOST" --data-root "$work/docker" --exec-root "$work/run" --pidfile "$work/docker.pid" \
        >"$work/docker.log" 2>&1 &
    daemon=$!
    until docker info >/dev/null 2>&1; do
        kill -0 $daemon 2>/dev/null || { cat "$work/docker.log" >&2; fail "the Docker daemon ended"; }
        sleep 0.5
    done
}

# Its end is not waited for without limit: once it waited for its containerd, which had ended already.
stop_daemon() {
    local mounted
    kill "$daemon" 2>/dev/null || true
    for _ in {1..60}; do
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.5
    done
    kill -KILL "$daemon" 2>/dev/null || true
    for mounted in $(awk -v folder="$work/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort --reverse); do
        umount "$mounted" || true
    done
}

clean_up() {
    local status=$?
    trap - EXIT
    if [ $status != 0 ] && [ -e "$work/env" ]; then
        in_compose ps || true
        inspect brain '{{json .State}}' || true
        in_compose logs --tail 60 || true
    fi
    if docker info >/dev/null 2>&1; then
        [ ! -e "$work/env" ] || in_compose down --volumes --timeout 20 >/dev/null 2>&1 || true
        docker image rm --force "$project-brain" "$project-nats" "$project-debian" >/dev/null 2>&1 || true
    fi
    [ -z "$daemon" ] || stop_daemon
    rm -rf "$work"
    exit $status
}

# ── The images

# Sets `base`.
find_debian() {
    base=debian:$debian-slim
    if docker image inspect "$base" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$base" >/dev/null 2>&1; then return; fi
    base=$project-debian
    say "$base: nothing can be pulled, so by debootstrap"
    # The mirror is the one that this machine's apt uses.
    local mirror
    # shellcheck disable=SC2016 # apt's own placeholder
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        grep -v security | sed -n 1p)
    debootstrap --variant=minbase "$debian" "$work/debian" "$mirror" >"$work/debootstrap.log" ||
        { tail -n 20 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
    tar --create --directory "$work/debian" . | docker import - "$base" >/dev/null
    rm -rf "$work/debian"
}

build_brain() {
    say "building the brain's image from $programs"
    mkdir -p "$work/programs/bin" "$work/programs/lib/megabrain"
    find "$programs" -maxdepth 1 -type f -executable -name 'megabrain*' -exec cp -t "$work/programs/bin/" {} +
    cp -L "$programs"/lib/megabrain/* "$work/programs/lib/megabrain/"
    find "$work/programs" -type f -exec strip --strip-debug {} +
    DOCKER_BUILDKIT=1 docker build --quiet --network host --tag "$project-brain" --file Dockerfile \
        --build-arg BASE="$base" --build-arg PROGRAMS=ready "$work/programs" >/dev/null
    rm -rf "$work/programs"
    docker image ls "$project-brain"
}

build_nats() {
    nats=$(sed -n 's/^ *image: \(nats:.*\)$/\1/p' compose.yaml)
    if timeout 300 docker pull --quiet "$nats" >/dev/null 2>&1; then return; fi
    nats=$project-nats
    say "building the bus's image"
    mkdir "$work/nats"
    cp "$models/nats-server" "$work/nats/"
    printf '%s\n' "FROM $base" 'RUN apt-get update && apt-get install --no-install-recommends --yes wget' \
        'COPY nats-server /usr/local/bin/' >"$work/nats/Dockerfile"
    DOCKER_BUILDKIT=1 docker build --quiet --network host --tag "$nats" "$work/nats" >/dev/null
}

# ── Bus and brain

in_compose() { "${compose[@]}" --project-name "$project" --env-file "$work/env" -f compose.yaml -f "$work/images.yaml" "$@"; }
container() { docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1"; }
inspect() { docker inspect --format "$2" "$(container "$1")"; }
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

prepare() {
    printf 'services:\n  brain: { image: %s }\n  nats: { image: %s }\n' "$project-brain" "$nats" >"$work/images.yaml"
    # Models that are here need not be fetched: the same files under another name, which whoever runs the brain may read.
    chmod 711 "$work"
    mkdir -p "$work/cache/models"
    cp --link "$models"/* "$work/cache/models/" 2>/dev/null || cp "$models"/* "$work/cache/models/"
    chown 10001:10001 "$work/cache" "$work/cache/models"
    scripts/make_env.sh "$work/env" >/dev/null
    http=$(free_port) bus=$(free_port)
    cat >>"$work/env" <<END
MEGABRAIN_HTTP_PORT=$http
MEGABRAIN_NATS_PORT=$bus
MEGABRAIN_NATS_MONITOR_PORT=$(free_port)
MEGABRAIN_VOLUME=$work/cache
END
    # Whoever asks from outside has a client's rights.
    export NATS_URL=nats://127.0.0.1:$bus NATS_USER=client NATS_PASSWORD
    NATS_PASSWORD=$(sed -n 's/^MEGABRAIN_CLIENT_PASSWORD=//p' "$work/env")
    unset NATS_CREDS OTEL_EXPORTER_OTLP_ENDPOINT MEGABRAIN_BRAIN MEGABRAIN_{CLIENT,MODEL,NODE,ADMIN}_PASSWORD
}

wait_for() {
    local what=$1 deadline=$((SECONDS + 120))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "$what did not come in time${why:+: $why}"
        sleep 0.5
    done
}
is_healthy() { [ "$(inspect "$1" '{{.State.Health.Status}}')" = healthy ]; }
has_restarted() { [ "$(inspect "$1" '{{.RestartCount}}')" -gt "$2" ] && is_healthy "$1"; }

# Prints what a chat over HTTP answers.
ask_http() {
    python3 - "http://127.0.0.1:$http/v1/chat/completions" <<'END'
import json, sys, urllib.request
chat = {"model": "fast", "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 16}
request = urllib.request.Request(sys.argv[1], json.dumps(chat).encode(), {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as response:
    print(json.load(response)["choices"][0]["message"]["content"].strip().replace("\n", " "))
END
}
ask_bus() { "$programs/megabrain" req mb.v1.echo.echo "{\"text\":\"$1\"}"; }

# Fails, and says why, as long as there is no answer.
answers() {
    local text
    text=$(ask_http 2>&1) || { why="over HTTP: ${text##*$'\n'}"; return 1; }
    ask_bus "who is there" >"$work/echoed" 2>&1 || { why="over NATS: $(cat "$work/echoed")"; return 1; }
    grep -q "who is there" "$work/echoed" || { why="over NATS: $(cat "$work/echoed")"; return 1; }
    echo "answers: over HTTP \"$text\", and over NATS"
}

# Every program of the image has its part: ffmpeg, Whisper, ONNX Runtime, llama.cpp, espeak-ng.
senses_work() {
    say "a film, a voice, vectors"
    "$programs/megabrain" ask "What is shown?" --attach tests/media/film.mp4 --json --deadline 5m >"$work/film.json"
    grep -q '"modality":"audio"' "$work/film.json" || fail "nothing was heard in the film"
    grep -q '"modality":"image"' "$work/film.json" || fail "nothing was seen in the film"
    "$programs/megabrain" speak "Berth 42 is yours on Friday." --out "$work/said.wav"
    "$programs/megabrain" embed "a berth" "a place" --json | grep -q embeddings || fail "no vectors"
}

# As README and brains/container.toml say it.
commands_work() {
    say "commands in the container"
    in_compose exec -T brain megabrain ask "Name a colour." >"$work/asked" || fail "ask, in the container"
    grep -q . "$work/asked" || fail "ask, in the container, says nothing"
    in_compose run --rm --no-deps brain key n8n 2>/dev/null | grep -q '^hash = ' || fail "no key is made in a container"
}

# ── What is promised about safety

is_confined() {
    say "who the containers are, and what they may"
    local service id
    for service in brain nats; do
        id=$(container $service)
        [ "$(inspect $service '{{.HostConfig.ReadonlyRootfs}}')" = true ] || fail "$service: the root is writable"
        ! docker exec --user 0 "$id" touch /usr/local/try 2>/dev/null || fail "$service: root can write to /usr/local"
        docker exec "$id" grep -q '^CapEff:[[:space:]]*0000000000000000$' /proc/1/status || fail "$service has capabilities"
        docker exec "$id" grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/1/status || fail "$service may gain privileges"
    done
    [ "$(docker exec "$(container brain)" id -u)" = 10001 ] || fail "the brain runs as root"
    ! docker exec "$(container brain)" env | grep ADMIN || fail "the brain knows the administrator's password"
    echo "no root in the brain, roots read-only, no capabilities"
}

reaches() { timeout 2 python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))' "$@"; }
is_local() {
    reaches 127.0.0.1 "$http" || fail "the doors are not reached at 127.0.0.1"
    local published address
    published=$(docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Ports}}')
    published=$(tr ',' '\n' <<<"$published" | grep -- '->')
    ! grep -v '^ *127\.0\.0\.1:' <<<"$published" || fail "published beyond the loopback"
    for address in $(hostname -I); do
        for port in "$http" "$bus"; do
            ! reaches "$address" "$port" 2>/dev/null || fail "port $port answers at $address"
        done
    done
    echo "published on the loopback only; not reached at $(hostname -I)"
}

# ── What is promised about dying

# As the kernel kills: `docker kill` would count as a wish that it stay down.
kill_container() {
    local pid
    pid=$(inspect "$1" '{{.State.Pid}}')
    docker run --rm --pid host --user 0 --entrypoint bash "$project-brain" -c "kill -KILL $pid"
}

comes_back() {
    say "killing the container of $1"
    local restarts began=$SECONDS
    restarts=$(inspect "$1" '{{.RestartCount}}')
    kill_container "$1"
    wait_for "$1, killed," has_restarted "$1" "$restarts"
    wait_for "the brain" is_healthy brain
    echo "healthy again after $((SECONDS - began)) s"
    wait_for "an answer" answers
}

drains() {
    say "stopping the brain while it works"
    "$programs/megabrain" req mb.v1.echo.echo '{"text":"late","delay_ms":3000}' >"$work/late" &
    local asking=$!
    sleep 1
    in_compose stop brain 2>/dev/null
    wait $asking || fail "a question that was open at the stop was not answered: $(cat "$work/late")"
    grep -q late "$work/late" || fail "a question that was open at the stop was answered with $(cat "$work/late")"
    [ "$(inspect brain '{{.State.ExitCode}}')" = 0 ] || fail "the brain ended with $(inspect brain '{{.State.ExitCode}}')"
    echo "what was open is answered, exit code 0"
}

need_engine
trap clean_up EXIT
start_daemon
find_debian
build_brain
build_nats
prepare
say "${compose[*]} up, $("${compose[@]}" version --short)"
in_compose up --detach --no-build 2>"$work/up.log" || { cat "$work/up.log" >&2; fail "compose up"; }
wait_for "the brain" is_healthy brain
wait_for "an answer" answers
senses_work
commands_work
is_confined
is_local
comes_back brain
comes_back nats
drains
echo "containers: all as promised, after $SECONDS s"
