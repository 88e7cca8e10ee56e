#!/bin/bash
#
# Builds the images and runs them as an administrator would: read-only, without capabilities, reached from outside. Prints TAP.
#
# usage: test_container.sh SOURCE-DIRECTORY WORK-DIRECTORY
#
# Images stay in WORK-DIRECTORY for the next run: the first takes about two minutes, later ones half of that.

# Functions are called by ok.
# shellcheck disable=SC2317
set -uo pipefail
SOURCE=$1
WORK=$2
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lab/container.sh
. "$HERE/container.sh"

# ---- without containers

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
if command -v "${compose[0]}" >/dev/null; then
    ok "compose.single.yaml is valid for $("${compose[@]}" version --short)" \
        "${compose[@]}" -f "$SOURCE/compose.single.yaml" --project-directory "$SOURCE" config
else
    skip "compose.single.yaml is valid" "no docker-compose"
fi

missing=$(container_missing)
[ -z "$missing" ] || skip_rest "$missing"
container_home "$WORK" || skip_rest "no settings for podman could be made"
container_end # what an earlier run left that was cut short
container_base >"$WORK/base.log" 2>&1 || { sed 's/^/# /' "$WORK/base.log"; skip_rest "the base image could not be made"; }
ends() { container_end; rm -rf "${TRY:?}"; }
TRY=$(mktemp -d)
trap ends EXIT
export SCRIBE_LOCAL_DIR=$TRY/local SCRIBE_CONTAINER=lab-single

# ---- the images

IMAGE=localhost/scribe-gateway
for target in single gateway debug; do ok "start.sh build $target" "$SOURCE/start.sh" build $target; done
[ "$FAILED" = 0 ] || { echo "1..$N"; exit 1; }

fits() { # TAG BYTES: what a registry would send
    local n
    n=$(engine save -q --format docker-archive "$IMAGE:$1" | gzip -9 | wc -c)
    echo "# $IMAGE:$1: $n bytes after gzip -9, $(engine image inspect --format '{{.Size}}' "$IMAGE:$1") unpacked" >&3
    [ "$n" -le "$2" ]
}
files_of() { # TAG: as tar lists them
    local id status
    id=$(engine create --pull never "$IMAGE:$1" none) || return 1
    engine export "$id" | tar -tvf -
    status=$?
    engine rm -v "$id" >/dev/null
    return "$status"
}
matches_none() { ! grep -E -- "$1" "$TRY/files"; }
label() { [ "$(engine image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$IMAGE:latest")" = "$2" ]; }
context_is_clean() { # a build never sees .env, .git, results of builds
    mkdir -p "$TRY/context/"{.git,build-asan,src} && cp "$SOURCE/.dockerignore" "$TRY/context/" || return 1
    touch "$TRY/context/"{.env,.env.local,.git/config,build-asan/x,src/a.c,meson.build}
    # shellcheck disable=SC2086
    printf 'FROM scratch\nCOPY . /\n' | engine build -q $SCRIBE_BUILD_OPTIONS -t "$IMAGE:context" -f - "$TRY/context" || return 1
    files_of context >"$TRY/files"
    grep -q 'src/a.c' "$TRY/files" && matches_none '\.env|\.git|build-asan'
}
exec 3>&1
ok "the data plane's image has at most 6 MB" fits data-plane 6000000
ok "that of both processes at most 10 MB" fits latest 10000000
files_of data-plane >"$TRY/files"
ok "the data plane has no ledger and no database" matches_none 'sqlite|scribe-ledger|libpq|libcrypto|libldap|libkrb5'
files_of latest >"$TRY/files"
ok "no shell, no package manager, no setuid program" matches_none '/(sh|bash|dash|busybox|apt|dpkg)$|^-..s|^-.....s'
ok "scanners find the packages" grep -qE 'var/lib/dpkg/status.d/libgnutls30$' "$TRY/files"
ok "and people the licences" grep -qE 'usr/share/doc/libgnutls30/copyright$' "$TRY/files"
ok "labels tell the version" label version "$(sed -n "s/^ *version: '\(.*\)',/\1/p" "$SOURCE/meson.build" | head -n 1)"
ok "a build does not see .env, .git and results" context_is_clean

# ---- both processes in one container

run() { # NAME IMAGE-AND-ARGUMENTS...: detached, as tight as engines can; OPTIONS more
    local name=$1
    shift
    LOOKED_AT=$name
    engine run -d --pull never --name "$name" --read-only --read-only-tmpfs=false --cap-drop=all \
        --security-opt no-new-privileges -m 256m --pids-limit 128 "${OPTIONS[@]}" "$@"
}
once() { engine run --rm --pull never --network none "$@"; }
pid_of() { engine container inspect --format '{{.State.Pid}}' "$1"; }
status_has() { grep -qE -- "$2" "/proc/$(pid_of "$1")/status"; }
root_is_read_only() { grep -E '^[0-9]+ [0-9]+ [^ ]+ / / ro' "/proc/$(pid_of "$1")/mountinfo"; }
container_net "sga$$" || skip_rest "no network namespace can be joined to this machine"
URL=http://$NET_INSIDE:8000
OPTIONS=(--network "ns:/run/netns/sga$$" -v lab-state:/var/lib/scribe-gateway)
ok "it starts: read-only, no capabilities, no new privileges" run both "$IMAGE:latest"
ok "its health check passes" container_wait both
ok "it is user 10001" status_has both '^Uid:	10001	10001	10001	10001$'
ok "without any capability" status_has both '^CapEff:	0000000000000000$'
ok "and no way to get one" status_has both '^NoNewPrivs:	1$'
ok "on a read-only root" root_is_read_only both
ok "there is no shell in it" bash -c '! podman --log-level fatal exec both /bin/sh -c true'
ok "from outside of its network it is ready" curl -fsS --noproxy '*' -m 5 "$URL/ready"
KEY=$(new_key both alice)
ok "a first chat from outside" says "$URL" "$KEY" "hello container"
ok "is metered" comes_to 1 n_requests both alice
ok "the key is not in the log" lacks "$KEY" engine logs both
ok "nor in inspect" lacks "$KEY" engine container inspect both
ok "the log tells the chat" bash -c 'podman --log-level fatal logs both 2>&1 | grep -q "key=alice"'

stream_is_finished() { # a stream of about two seconds, and the stop in the middle of it
    local words
    words=$(printf 'w%s ' $(seq 50))
    chat "$URL" "$KEY" "$words" ',"stream":true' >"$TRY/stream" 2>&1 &
    local client=$!
    comes_to 1 grep -cm1 '"w1' "$TRY/stream" && engine stop -t 10 both && wait "$client"
    tail -n 3 "$TRY/stream"
    grep -qF '[DONE]' "$TRY/stream" && grep -qF 'w50' "$TRY/stream"
}
exit_code() { [ "$(engine container inspect --format '{{.State.ExitCode}}' "$1")" = "$2" ]; }
ok "a stop finishes an open stream" stream_is_finished
ok "and ends with 0" exit_code both 0
ok "another container on the same volume" run again "$IMAGE:latest"
ok "is healthy" container_wait again
ok "knows the usage" comes_to 2 n_requests again alice
ok "and the key" says "$URL" "$KEY" "hello again"
killed_and_started() { engine kill -s KILL again && engine start again && container_wait again; }
ok "after a SIGKILL it comes back" killed_and_started
ok "with the usage" comes_to 3 n_requests again alice
engine rm -f -t 2 again both >/dev/null 2>&1
LOOKED_AT=

# ---- what it says to wrong words

ok "an unknown SERVICE_TYPE ends with 1" ends_with 1 "unknown SERVICE_TYPE 'nonsense'" once -e SERVICE_TYPE=nonsense "$IMAGE:latest"
ok "agent-writer too: not in this release" ends_with 1 "not in this release" once -e SERVICE_TYPE=agent-writer "$IMAGE:latest"
ok "the first argument goes before the variable" ends_with 1 "'agent-critic'" once -e SERVICE_TYPE=gateway "$IMAGE:latest" agent-critic
ok "the data plane has no ledger to run" ends_with 1 "scribe-ledger is neither" once "$IMAGE:data-plane" ledger
ok "the certificates of the system are there" ends_with 0 "2 providers" once -e LLM_API_KEY=sk-x "$IMAGE:latest" --check
ok "a missing secret is told" ends_with 78 "/run/secrets/none cannot be read" once -e LLM_API_KEY_FILE=/run/secrets/none "$IMAGE:latest"

# ---- the data plane and a ledger, each in a container of its own

container_net "sgb$$" || skip_rest "no second network namespace"
URL=http://$NET_INSIDE:9000
volumes=(-v lab-pair:/var/lib/scribe-gateway -v lab-run:/run/scribe-gateway)
OPTIONS=(--network none "${volumes[@]}")
ok "a ledger without any network" run ledger "$IMAGE:latest" ledger
ok "is healthy: its image asks the ledger" container_wait ledger
OPTIONS=(--network "ns:/run/netns/sgb$$" "${volumes[@]}" -e SCRIBE_LISTEN=0.0.0.0:9000)
ok "the data plane beside it" run gateway "$IMAGE:data-plane"
ok "is healthy" container_wait gateway
PAIR_KEY=$(new_key gateway bob)
ok "a chat from outside" says "$URL" "$PAIR_KEY" "hello pair"
ok "is metered by the ledger" comes_to 1 n_requests gateway bob
ok "the ledger may be restarted" engine restart -t 10 ledger
ok "known keys work" says "$URL" "$PAIR_KEY" "hello after"
ok "and all is metered" comes_to 2 n_requests gateway bob

# ---- with a shell

ok "the debug image has a shell and scribectl" ends_with 0 "10001" \
    once --entrypoint /bin/sh "$IMAGE:debug" -c 'scribectl version >/dev/null 2>&1; command -v scribectl curl strace && id -u'
# shellcheck disable=SC2016
ok "it looks into a running one" ends_with 0 "scribe-ledger" engine run --rm --pull never --pid container:ledger \
    --network container:gateway --volumes-from gateway --entrypoint /bin/bash "$IMAGE:debug" -c \
    'ps ax && curl -fsS --noproxy "*" http://127.0.0.1:9000/health && scribectl status'
ok "and runs" ends_with 0 "is valid" once "$IMAGE:debug" --check

# ---- start.sh single; its provider is the pair, which tells whether the key was right

start_sh() { # in the namespace of the pair, where it is this machine's own network
    LLM_API_KEY=$PAIR_KEY LLM_BASE_URL=http://127.0.0.1:9000/v1 LLM_DEFAULT_MODEL=echo \
        nsenter --net="/run/netns/sgb$$" "$SOURCE/start.sh" "$@" </dev/null
}
setting() { engine container inspect --format "{{.HostConfig.$1}}" lab-single | grep -xF -- "$2"; }
ok "start.sh single sends a first chat" ends_with 0 "Hello from a fresh machine" start_sh single
LOOKED_AT=lab-single
ok "with the provider's key" comes_to 3 n_requests gateway bob
ok "which is not in inspect" lacks "$PAIR_KEY" engine container inspect lab-single
ok "nor in the image's history" lacks "$PAIR_KEY" engine history --no-trunc "$IMAGE:latest"
ok "nor in the log" lacks "$PAIR_KEY" start_sh logs
ok "limits: memory" setting Memory 805306368
ok "limits: processes" setting PidsLimit 512
ok "limits: a read-only root" setting ReadonlyRootfs true
ok "it comes back after a crash" setting RestartPolicy.Name unless-stopped
ok "status tells of it" ends_with 0 "running" start_sh status
ok "single again changes nothing but the usage" ends_with 0 "first         2" start_sh single
ok "stop stops it" ends_with 0 "stopped the container" start_sh stop
runs() { [ "$(engine container inspect --format '{{.State.Running}}' "$1")" = true ]; }
ok "but nothing else" runs gateway
ok "status tells that, too" ends_with 3 "not running" start_sh status
LOOKED_AT=
printf '%s\n' "$PAIR_KEY" >"$TRY/key"
by_file() { # the provider's key is named by a file this time
    LLM_API_KEY='' LLM_API_KEY_FILE=$1 LLM_BASE_URL=http://127.0.0.1:9000/v1 LLM_DEFAULT_MODEL=echo \
        nsenter --net="/run/netns/sgb$$" "$SOURCE/start.sh" single </dev/null
}
ok "a key file that is not there is told" ends_with 1 "there is no $TRY/none" by_file "$TRY/none"
ok "keys and usage are still there, the provider's key comes from a file" ends_with 0 "first         3" by_file "$TRY/key"
ok "until they are purged" ends_with 0 "removed the volume" start_sh stop --purge
ok "with the volume" bash -c '! podman --log-level fatal volume inspect lab-single-state'
foreign_stays() { engine create --name lab-single --pull never "$IMAGE:latest" && ends_with 1 "not started here" start_sh single; }
ok "a container of somebody else is left alone" foreign_stays
echo "1..$N"
exit "$FAILED"
