#!/bin/bash
#
# start.sh - from a fresh checkout to a running, metered gateway, and to all tests
#
# Everything it makes lies in build*/ and in one directory of state (.local/, or $SCRIBE_LOCAL_DIR).

set -euo pipefail
umask 022
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
LOCAL=$(realpath -m -- "${SCRIBE_LOCAL_DIR:-$ROOT/.local}")
BUILD=$ROOT/build
GATEWAY=$BUILD/src/daemon/scribe-gateway
SCRIBECTL=$BUILD/src/ctl/scribectl
MARK=$LOCAL/.made-by-start.sh
MODE=local

BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config libgnutls28-dev libjson-c-dev libc-ares-dev
    libnghttp2-dev libhiredis-dev libpq-dev libsqlite3-dev liburcu-dev libsystemd-dev ca-certificates curl"
TEST_PACKAGES="libcmocka-dev libasan8 libubsan1 libtsan2 python3-pytest python3-requests python3-h2 openssl shellcheck util-linux git mandoc groff-base zsh
    build-essential debhelper dpkg-dev mmdebstrap systemd-container openssh-client python3-yaml buildah podman runc
    iproute2 docker-compose lintian blhc devscripts piuparts haproxy nghttp2-client nginx-light python3-grpcio redis-server
    postgresql apache2-bin gnutls-bin"

usage() {
    cat <<END
usage: ./start.sh COMMAND

  local          build what has changed, start the gateway and its ledger here, send a first chat, show its usage
  single         the same in one container, with Docker or podman; builds the image if it is not of this tree
  multi          gateway, ledger, PostgreSQL, Redis and three services in a container each, with docker compose
  status         what the running gateway says of itself (exit status 3 when it does not run)
  logs [-f]      its log; -f: and what comes
  env            shell variables for it: eval "\$(./start.sh env)"
  stop [--purge] finish what is open and stop; --purge: remove its state as well (keys and usage are lost)
  build [IMAGE]  build an image: single (the default: gateway and ledger), gateway (data plane alone), debug (with a shell),
                 service (of the example that multi runs)
  test           all tests, in three builds (plain, AddressSanitizer and UBSan, ThreadSanitizer)
  bench [...]    what a request costs beside nginx, HAProxy and h2o (fourteen minutes; --rows chat_1k: one; --list, --help)
  help           this text

A file named .env beside this script may set LLM_API_KEY, LLM_BASE_URL, LLM_DEFAULT_MODEL and others (one NAME=value a
line); with LLM_API_KEY chats go to that provider, without it to the built-in practice provider, which echoes.

  SCRIBE_LISTEN     address to listen on (default: 127.0.0.1:8000, or the next free port)
  SCRIBE_PUBLISH    the same for the container: where on this machine it is reached
  SCRIBE_ENGINE     docker or podman (default: docker where its engine answers, else podman)
  SCRIBE_LOCAL_DIR  where configuration, keys, usage and log are kept (default: .local beside this script)
  SCRIBE_TEST_MINUTES
                    test leaves out, with a word, what of the system tests would not be done in so many minutes

Needs Debian 12 and, to install what is missing, root or sudo.
END
}

say() { printf '%s\n' "$*"; }
note() { printf 'start.sh: %s\n' "$*" >&2; }
die() { note "$*"; exit 1; }

# ---- packages and build

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

need_packages() { # PACKAGE...: installs what is missing of them
    local missing=() package
    command -v dpkg-query >/dev/null || die "this needs Debian (dpkg); elsewhere install: $*"
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    note "installing ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o APT::Install-Recommends=false)
    local log
    log=$(mktemp)
    if ! { as_root "${apt[@]}" update && as_root "${apt[@]}" install "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "could not install ${missing[*]} (as root, or with sudo?)"
    fi
    rm -f "$log"
}

quietly() { # COMMAND...: its output only when it fails
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

build_programs() {
    # shellcheck disable=SC2086
    need_packages $BUILD_PACKAGES
    if [ ! -e "$BUILD/build.ninja" ]; then
        note "configuring $BUILD"
        quietly meson setup "$BUILD" "$ROOT" -Dtests=false || die "configuring failed"
    fi
    if ! ninja -C "$BUILD" -n src/daemon/scribe-gateway src/ledger/scribe-ledger src/ctl/scribectl | grep -q 'no work to do'; then
        note "building (a minute or two the first time)"
        quietly ninja -C "$BUILD" src/daemon/scribe-gateway src/ledger/scribe-ledger src/ctl/scribectl || die "building failed"
    fi
}

# ---- the process: a pid counts as ours only together with its start time and its program

start_time() { # PID: ticks since boot
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    stat=${stat##*) }
    [ "${stat%% *}" != Z ] || return 1
    cut -d' ' -f20 <<<"$stat"
}

running_pid() { # prints the gateway's pid; fails when it does not run
    local pid start
    { read -r pid start <"$LOCAL/pid"; } 2>/dev/null || return 1
    [[ $pid =~ ^[0-9]+$ ]] && [ "$(start_time "$pid")" = "$start" ] || return 1
    # Another user's /proc/PID/exe cannot be read, its name can.
    [[ $(readlink "/proc/$pid/exe" || cat "/proc/$pid/comm") == *scribe-gateway* ]] 2>/dev/null || return 1
    printf '%s\n' "$pid"
}

check_owner() { # what another user has started is his to steer
    [ ! -e "$LOCAL" ] || [ -w "$LOCAL" ] ||
        die "$LOCAL belongs to $(stat -c %U "$LOCAL"): be that user (or root), or set SCRIBE_LOCAL_DIR to a directory of your own"
}

# ---- settings

read_env_file() { # names in .env that the environment does not have already
    local line name value
    [ -r "$ROOT/.env" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        line=${line#export }
        [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=[[:space:]]*(.*)$ ]] || continue
        name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        case $value in
        \"*\") value=${value#\"} value=${value%\"} ;;
        \'*\') value=${value#\'} value=${value%\'} ;;
        esac
        [ -n "${!name+set}" ] || export "$name=$value"
    done <"$ROOT/.env"
}

# The key of a provider in a file: the programs started here get it as a variable, a container as a mounted file.
read_key_file() {
    # A path in .env is one of this directory, as for docker compose.
    case ${LLM_API_KEY_FILE:-/} in /*) ;; *) LLM_API_KEY_FILE=$ROOT/$LLM_API_KEY_FILE ;; esac
    [ -r "${LLM_API_KEY_FILE:-/}" ] || die "LLM_API_KEY_FILE: there is no $LLM_API_KEY_FILE that could be read"
    if [ -z "${LLM_API_KEY:-}" ] && [ -s "${LLM_API_KEY_FILE:-}" ]; then
        LLM_API_KEY=$(cat "$LLM_API_KEY_FILE")
        export LLM_API_KEY
    fi
    unset LLM_API_KEY_FILE
}

is_free() { # HOST PORT: nobody listens there
    ! (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

choose_listen() { # prints the address to listen on
    local port
    if [ -n "${SCRIBE_LISTEN:-}" ]; then
        printf '%s\n' "$SCRIBE_LISTEN"
        return
    fi
    # A running gateway keeps its port; one that was stopped gets it again if nobody took it.
    if [ -r "$LOCAL/listen" ] && { running_pid >/dev/null || is_free 127.0.0.1 "$(sed 's/.*://' "$LOCAL/listen")"; }; then
        cat "$LOCAL/listen"
        return
    fi
    for ((port = 8000; port < 8100; port++)); do
        if is_free 127.0.0.1 "$port"; then
            printf '127.0.0.1:%s\n' "$port"
            return
        fi
    done
    die "no free port from 8000 to 8099; set SCRIBE_LISTEN"
}

url_of() { # ADDRESS: where a client on this machine reaches it
    local address=$1
    case $address in
    0.0.0.0:* | \[::\]:*) address=127.0.0.1:${address##*:} ;;
    *:*) ;;
    *) address=127.0.0.1:$address ;;
    esac
    printf 'http://%s\n' "$address"
}

config_text() { # LISTEN
    cat <<END
# Written by start.sh at each start. Settings of your own belong into files named gateway.conf.d/*.conf beside this one.

[gateway]
state_directory = $LOCAL/state
runtime_directory = $LOCAL/run
group = $(id -gn)

[listener "http"]
address = $1

[log]
to = file:$LOCAL/gateway.log

[ledger]
start = yes

[provider "echo"]
dialect = echo

[model "echo"]
target = echo

# A service of your own: take the # away.
#[service "query"]
#prefix = /api/query/
#endpoint = http://127.0.0.1:8082
#health = /api/health

# LLM_API_KEY in the environment (or .env) makes this one go to that provider.
[model "default"]
target = echo
END
    [ -n "${LLM_API_KEY:-}" ] || cat <<END

# The names that older clients' examples ask for, answered by the practice provider.
[model "moonshot-*"]
target = echo
END
}

# What a running gateway was started with: when it changes, it has to be started again.
fingerprint() { # LISTEN
    {
        config_text "$1"
        env | grep -E '^(LLM_|LOG_LEVEL=|RUST_LOG=)' | sort || true
        stat -L -c '%i %Y %s' "$GATEWAY" "$BUILD/src/ledger/scribe-ledger"
    } | sha256sum | cut -d' ' -f1
}

# ---- local

start_gateway() { # LISTEN
    local pid start url
    url=$(url_of "$1")
    rm -f "$LOCAL/pid"
    config_text "$1" >"$LOCAL/config/gateway.conf"
    printf '%s\n' "$1" >"$LOCAL/listen"
    setsid "$GATEWAY" --config "$LOCAL/config" </dev/null >"$LOCAL/stderr.log" 2>&1 &
    pid=$!
    start=$(start_time "$pid") || die "the gateway did not start: $(cat "$LOCAL/stderr.log")"
    # The child becomes the gateway a moment after the fork; what was before is a shell with the same pid and start time.
    printf '%s %s\n' "$pid" "$start" >"$LOCAL/pid"
    local tries
    for ((tries = 0; tries < 400; tries++)); do
        if [ "$(start_time "$pid" || true)" != "$start" ]; then
            rm -f "$LOCAL/pid"
            cat "$LOCAL/stderr.log" >&2
            tail -n 5 "$LOCAL/gateway.log" 2>/dev/null >&2 || true
            die "the gateway did not start"
        fi
        if curl -fs --noproxy '*' -m 5 -o /dev/null "$url/ready"; then
            fingerprint "$1" >"$LOCAL/fingerprint"
            return
        fi
        sleep 0.05
    done
    die "the gateway does not become ready; see ./start.sh logs"
}

ctl() {
    if [ "$MODE" = single ]; then single_ctl "$@"; elif [ "$MODE" = multi ]; then multi_ctl "$@"; else SCRIBE_CONTROL=$(control_socket) "$SCRIBECTL" "$@"; fi
}

own() { case $MODE in single) printf '%s\n' "$SINGLE" ;; multi) printf '%s\n' "$MULTI" ;; *) printf '%s\n' "$LOCAL" ;; esac; }

control_socket() { printf '%s\n' "$LOCAL/run/control.socket"; }

first_key() { # makes the key "first" once; its secret is kept for this directory's own use
    local secret file
    file=$(own)/key
    if [ ! -s "$file" ]; then
        if ctl key show first >/dev/null 2>&1; then
            secret=$(ctl key rotate first --json)
        else
            secret=$(ctl key create first --json)
        fi
        secret=$(grep -oE 'sk-[A-Za-z0-9]{32}' <<<"$secret") || die "no key could be made"
        (umask 077 && printf '%s\n' "$secret" >"$file.new" && mv "$file.new" "$file")
    fi
    cat "$file"
}

first_chat() { # URL KEY
    local body='{"model":"default","messages":[{"role":"user","content":"Hello from a fresh machine"}]}' status id tries dir
    dir=$(own)
    say "\$ curl $1/v1/chat/completions -H \"Authorization: Bearer \$SCRIBE_KEY\" -d '$body'"
    # The key goes in by a file descriptor: an argument could be read by every user of the machine.
    status=$(curl -sS --noproxy '*' -m 120 -D "$dir/head" -o "$dir/answer" -w '%{http_code}' \
        -H @<(printf 'Authorization: Bearer %s\n' "$2") -H 'Content-Type: application/json' -d "$body" \
        "$1/v1/chat/completions") || die "the chat failed; see ./start.sh logs"
    cat "$dir/answer"
    say
    [ "$status" = 200 ] || die "the chat was answered with status $status; see ./start.sh logs"
    id=$(tr -d '\r' <"$dir/head" | sed -n 's/^x-request-id: *//Ip')
    rm -f "$dir/head" "$dir/answer"
    # The ledger takes usage out of the journal in batches, a moment later.
    for ((tries = 0; tries < 100; tries++)); do
        # Not by a pipe, which grep -q may close before the other end has said all.
        if grep -qF "$id" <<<"$(ctl usage --requests --json 2>/dev/null)"; then break; fi
        sleep 0.05
    done
    say
    say "\$ scribectl usage"
    ctl usage
}

cmd_local() {
    local listen pid url key
    [ $# = 0 ] || die "local takes no arguments; see ./start.sh help"
    check_owner
    read_env_file
    read_key_file
    build_programs
    if [ -e "$LOCAL" ] && [ ! -e "$MARK" ] && [ -n "$(ls -A "$LOCAL")" ]; then
        die "$LOCAL is not empty and was not made by this script"
    fi
    mkdir -p "$LOCAL/config/gateway.conf.d" "$LOCAL/state" "$LOCAL/run"
    chmod 0700 "$LOCAL/state"
    : >>"$MARK"
    listen=$(choose_listen)
    if pid=$(running_pid); then
        if [ "$(fingerprint "$listen")" != "$(cat "$LOCAL/fingerprint" 2>/dev/null)" ]; then
            note "program or settings have changed: starting again"
            stop_gateway "$pid"
            start_gateway "$listen"
        fi
    else
        start_gateway "$listen"
    fi
    url=$(url_of "$listen")
    key=$(first_key)
    say "scribe-gateway runs at $url (pid $(running_pid))"
    [ -n "${LLM_API_KEY:-}" ] || say "No LLM_API_KEY is set: the practice provider answers, it echoes what it is asked."
    say
    first_chat "$url" "$key"
    cat <<END

Next:
  eval "\$(./start.sh env)"              # SCRIBE_URL, SCRIBE_KEY and scribectl in your PATH
  curl -N \$SCRIBE_URL/v1/chat/completions -H "Authorization: Bearer \$SCRIBE_KEY" \\
       -d '{"model":"default","stream":true,"messages":[{"role":"user","content":"one two three"}]}'
  scribectl status; scribectl key create alice; scribectl usage --by key
  ./start.sh logs -f                    # what happens, as it happens
  ./start.sh stop                       # --purge removes keys and usage, too
END
}

# ---- the other commands

stop_gateway() { # PID
    local start tries
    start=$(start_time "$1") || return 0
    kill -TERM "$1"
    # Draining may take as long as drain_timeout says.
    for ((tries = 0; tries < 2400; tries++)); do
        if [ "$(start_time "$1" || true)" != "$start" ]; then
            rm -f "$LOCAL/pid"
            return 0
        fi
        sleep 0.05
    done
    die "the gateway (pid $1) does not end; see ./start.sh logs"
}

cmd_stop() {
    local pid stopped=
    case ${1-} in
    "" | --purge) [ $# -le 1 ] || die "stop takes --purge and nothing else" ;;
    *) die "stop takes --purge and nothing else" ;;
    esac
    check_owner
    if pid=$(running_pid); then
        stop_gateway "$pid"
        stopped=1
        say "stopped"
    fi
    if [ -e "$SINGLE/id" ] && choose_engine && single_id >/dev/null; then
        stop_single
        stopped=1
        say "stopped the container"
    fi
    if [ -e "$MULTI/project" ]; then
        stop_multi
        stopped=1
        say "stopped the containers of $PROJECT"
    fi
    [ -n "$stopped" ] || say "not running"
    if [ "${1-}" = --purge ] && [ -e "$LOCAL" ]; then
        [ -e "$MARK" ] || die "$LOCAL was not made by this script; it stays"
        purge_single
        purge_multi
        rm -rf --one-file-system -- "${LOCAL:?}"
        say "removed $LOCAL"
    fi
}

# Which of the two runs: sets MODE, fails when none does.
find_running() {
    if running_pid >/dev/null; then
        MODE=local
    elif single_running; then
        MODE=single
    elif multi_running; then
        MODE=multi
    else
        return 1
    fi
}

cmd_status() {
    [ $# = 0 ] || die "status takes no arguments"
    if ! find_running; then
        say "not running; start it with ./start.sh local, single or multi"
        exit 3
    fi
    ctl status
    if [ "$MODE" = multi ]; then
        say
        multi_compose ps
    fi
    [ "$MODE" = local ] && single_running || return 0
    MODE=single
    say
    say "and in the container $CONTAINER:"
    ctl status
}

cmd_logs() {
    case ${1-} in "" | -f) [ $# -le 1 ] || die "logs takes -f and nothing else" ;; *) die "logs takes -f and nothing else" ;; esac
    if ! running_pid >/dev/null && [ -e "$SINGLE/id" ] && choose_engine && single_id >/dev/null; then
        if [ "${1-}" = -f ]; then
            engine logs --tail 20 -f "$CONTAINER" 2>&1
        else
            engine logs --tail 200 "$CONTAINER" 2>&1
        fi
        return
    fi
    if ! running_pid >/dev/null && [ -e "$MULTI/project" ]; then
        if [ "${1-}" = -f ]; then multi_compose logs --tail 20 -f; else multi_compose logs --tail 200; fi
        return
    fi
    [ -r "$LOCAL/gateway.log" ] || die "there is no log yet; start with ./start.sh local, single or multi"
    case ${1-} in
    "") tail -n 200 "$LOCAL/gateway.log" ;;
    -f) exec tail -n 20 -F "$LOCAL/gateway.log" ;;
    esac
}

cmd_env() {
    local pid
    find_running || die "the gateway does not run; start it with ./start.sh local, single or multi"
    check_owner
    case $MODE in single | multi)
        "env_$MODE"
        return
        ;;
    esac
    pid=$(running_pid)
    printf 'export SCRIBE_URL=%q\n' "$(url_of "$(cat "$LOCAL/listen")")"
    printf 'export SCRIBE_KEY=%q\n' "$(cat "$LOCAL/key")"
    printf 'export SCRIBE_CONTROL=%q\n' "$(control_socket)"
    printf 'export SCRIBE_PID=%q\n' "$pid"
    printf 'export SCRIBE_CONFIG=%q\n' "$LOCAL/config"
    # shellcheck disable=SC2016
    printf 'export PATH=%q:"$PATH"\n' "$BUILD/src/ctl:$BUILD/src/daemon:$BUILD/src/ledger"
}

# ---- test

npm_parts() { # Node 22 and what test_12, test_31 and test_37 run in it; without, they are skipped or fail
    local parts=$BUILD/npm
    if [ -e "$parts/complete" ] && cmp -s "$ROOT/tests/daemon/npm/package.json" "$parts/package.json"; then return; fi
    command -v npm >/dev/null || need_packages npm
    note "installing the npm clients"
    rm -rf "$parts"
    mkdir -p "$parts"
    cp "$ROOT/tests/daemon/npm/package.json" "$parts/"
    # Exact versions stand in package.json; scripts of packages are not run.
    if quietly npm --prefix "$parts" install --no-package-lock --ignore-scripts --no-audit --no-fund; then
        : >"$parts/complete"
    else
        note "npm could not install them: their tests will be skipped or fail"
    fi
}

build_tree() { # DIR MESON-OPTION...
    local dir=$1
    shift
    if [ ! -e "$dir/build.ninja" ]; then
        quietly meson setup "$dir" "$ROOT" -Dtests=true "$@" || die "configuring $dir failed"
    elif meson introspect --buildoptions "$dir" | grep -A3 -F '"name": "tests"' | grep -q 'false'; then
        quietly meson configure "$dir" -Dtests=true || die "configuring $dir failed"
    fi
    note "building $(basename "$dir")"
    quietly ninja -C "$dir" || die "building $dir failed"
}

run_tests() { # DIR MESON-TEST-ARGUMENT...
    local dir=$1
    shift
    note "testing in $(basename "$dir")"
    # --no-rebuild: it was built just now; the status is judged by the sum of all runs. Most tests of the programs wait for
    # something most of the time (timers, other programs): two at once for each core; those that measure run alone.
    "${FIXED_ADDRESSES[@]}" meson test -C "$dir" --no-rebuild --num-processes $((2 * $(nproc))) --print-errorlogs "$@" </dev/null ||
        FAILED=1
}

cmd_test() {
    [ $# = 0 ] || die "test takes no arguments; single tests: meson test -C build --list"
    FAILED=0
    # With SCRIBE_TEST_MINUTES what would not be done in time is skipped, loudly: some of the tests in booted Debians.
    [ -z "${SCRIBE_TEST_MINUTES:-}" ] || export SCRIBE_DEADLINE=$(($(date +%s) + 60 * SCRIBE_TEST_MINUTES))
    # shellcheck disable=SC2086
    need_packages $BUILD_PACKAGES $TEST_PACKAGES
    # ThreadSanitizer of Debian 12 cannot start where the kernel scatters addresses too widely.
    FIXED_ADDRESSES=()
    if setarch "$(uname -m)" -R true 2>/dev/null; then FIXED_ADDRESSES=(setarch "$(uname -m)" -R); fi
    npm_parts
    export SCRIBE_NPM=$BUILD/npm
    build_tree "$BUILD"
    run_tests "$BUILD" --no-suite system
    build_tree "$ROOT/build-asan" -Db_sanitize=address,undefined -Db_lundef=false
    export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    SCRIBE_SLOWNESS=4 run_tests "$ROOT/build-asan" --suite unit --suite fuzz --suite daemon --timeout-multiplier 4
    build_tree "$ROOT/build-tsan" -Db_sanitize=thread -Db_lundef=false
    export TSAN_OPTIONS=second_deadlock_stack=1:suppressions=$ROOT/tests/tidy/tsan.supp
    SCRIBE_SLOWNESS=8 run_tests "$ROOT/build-tsan" --suite unit --suite threads --timeout-multiplier 8
    unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
    run_tests "$BUILD" --suite system --logbase system
    python3 "$ROOT/tests/sum.py" plain="$BUILD" asan="$ROOT/build-asan" tsan="$ROOT/build-tsan" system="$BUILD:system" || FAILED=1
    exit "$FAILED"
}

cmd_bench() {
    build_programs
    need_packages nginx-light haproxy h2o wrk nghttp2-client strace util-linux openssl python3
    quietly ninja -C "$BUILD" bench-programs || die "building the benchmark's programs failed"
    SCRIBE_BUILD=$BUILD /usr/bin/python3 "$ROOT/tests/bench/bench.py" "$@"
}

# shellcheck source=packaging/container/single.sh
. "$ROOT/packaging/container/single.sh"
# shellcheck source=packaging/container/multi.sh
. "$ROOT/packaging/container/multi.sh"

case ${1-} in
local | single | multi | build | stop | status | logs | env | test | bench) "cmd_$1" "${@:2}" ;;
help | -h | --help) usage ;;
"") usage >&2; exit 2 ;;
*) note "unknown command '$1'"; usage >&2; exit 2 ;;
esac
