# Sourced by start.sh: the image, and gateway and ledger in one container.
#
# Docker where its engine answers (by compose.single.yaml where its compose is installed), else podman with the same
# settings. Only the container whose id is kept in $LOCAL/single is ever stopped.
# shellcheck shell=bash disable=SC2153,SC2034

SINGLE=$LOCAL/single
IMAGE=${SCRIBE_IMAGE:-scribe-gateway:latest}
CONTAINER=${SCRIBE_CONTAINER:-scribe-gateway}
VOLUME=${CONTAINER}-state
ENGINE=

engine() {
    if [ "$ENGINE" = podman ]; then podman --log-level fatal "$@"; else docker "$@"; fi
}

choose_engine() {
    ENGINE=${SCRIBE_ENGINE:-$(cat "$SINGLE/engine" 2>/dev/null || true)}
    case $ENGINE in
    docker | podman) command -v "$ENGINE" >/dev/null || die "there is no $ENGINE here" ;;
    "")
        if command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
            ENGINE=docker
        else
            command -v podman >/dev/null || need_packages podman netavark aardvark-dns slirp4netns uidmap
            ENGINE=podman
        fi
        ;;
    *) die "SCRIBE_ENGINE is '$ENGINE'; it may be docker or podman" ;;
    esac
}

has_compose() { [ "$ENGINE" = docker ] && docker compose version >/dev/null 2>&1; }

compose() {
    SCRIBE_IMAGE=$IMAGE SCRIBE_CONTAINER=$CONTAINER SCRIBE_VOLUME=$VOLUME SCRIBE_PUBLISH=$1 SCRIBE_CONF_D=$CONF_D \
        LLM_API_KEY='' LLM_API_KEY_FILE=$SINGLE/secret/llm_api_key \
        docker compose -p "$CONTAINER" -f "$ROOT/compose.single.yaml" "${@:2}"
}

# ---- the image

source_hash() { # of what goes into an image
    (cd "$ROOT" && find Dockerfile .dockerignore LICENSE meson.build meson_options.txt src units etc packaging/container -type f \
        ! -name '*.md' ! -name 'single.sh' ! -name 'multi.sh' ! -path 'packaging/container/conf.d/*' ! -path 'packaging/container/multi.d/*' -print0 | sort -z | xargs -0 sha256sum |
        sha256sum | cut -d' ' -f1)
}

build_image() { # TARGET TAG
    local options=() version revision
    version=$(sed -n "s/^ *version: '\(.*\)',/\1/p" "$ROOT/meson.build" | head -n 1)
    revision=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || echo unknown)
    [ "$ENGINE" != podman ] || options+=(--format docker) # the format that has health checks
    note "building the image $2 (a few minutes the first time)"
    # shellcheck disable=SC2086
    quietly engine build "${options[@]}" ${SCRIBE_BUILD_OPTIONS:-} --target "$1" --build-arg VERSION="$version" \
        --build-arg REVISION="$revision" --build-arg SOURCE="$(source_hash)" -t "$2" -f "$ROOT/Dockerfile" "$ROOT" ||
        die "the image could not be built"
}

need_image() { # builds it unless it is of this very tree, or of the user's own choice
    [ -z "${SCRIBE_IMAGE:-}" ] || return 0
    [ "$(engine image inspect --format '{{index .Config.Labels "io.scribe.source"}}' "$IMAGE" 2>/dev/null)" = "$(source_hash)" ] ||
        build_image single "$IMAGE"
}

cmd_build() {
    local target=${1:-single} tag=$IMAGE
    [ $# -le 1 ] || die "build takes one target at most; see ./start.sh help"
    case $target in
    single) ;;
    gateway) tag=${IMAGE%:*}:data-plane ;;
    debug | service) tag=${IMAGE%:*}:$target ;;
    *) die "there is no image '$target'; there are single, gateway, debug and service" ;;
    esac
    choose_engine
    build_image "$target" "$tag"
    say "built $tag"
}

# ---- the container

single_id() { # prints the id of the container that was started here; fails when there is none
    local id
    { read -r id <"$SINGLE/id"; } 2>/dev/null || return 1
    [ -n "$ENGINE" ] || choose_engine
    [ "$(engine container inspect --format '{{.Id}}' "$CONTAINER" 2>/dev/null)" = "$id" ] || return 1
    printf '%s\n' "$id"
}

single_running() {
    [ -n "$ENGINE" ] || [ -e "$SINGLE/id" ] || return 1
    single_id >/dev/null && [ "$(engine container inspect --format '{{.State.Running}}' "$CONTAINER")" = true ]
}

single_ctl() { engine exec "$CONTAINER" /usr/bin/scribectl "$@"; }

choose_publish() { # prints ADDRESS:PORT of this machine
    local port
    if [ -n "${SCRIBE_PUBLISH:-}" ]; then
        printf '%s\n' "$SCRIBE_PUBLISH"
        return
    fi
    if [ -r "$SINGLE/publish" ] && { single_running || is_free 127.0.0.1 "$(sed 's/.*://' "$SINGLE/publish")"; }; then
        cat "$SINGLE/publish"
        return
    fi
    for ((port = 8000; port < 8100; port++)); do
        if is_free 127.0.0.1 "$port"; then
            printf '127.0.0.1:%s\n' "$port"
            return
        fi
    done
    die "no free port from 8000 to 8099; set SCRIBE_PUBLISH"
}

# The key as a file that no inspection shows. The directory keeps others of this machine out; in the container, where
# the file alone is mounted, another user must be able to read it.
write_secret() {
    mkdir -p "$SINGLE/secret"
    chmod 0700 "$SINGLE/secret"
    rm -f "$SINGLE/secret/llm_api_key"
    printf '%s' "${LLM_API_KEY:-}" >"$SINGLE/secret/llm_api_key"
    chmod 0444 "$SINGLE/secret/llm_api_key"
}

single_fingerprint() { # PUBLISH
    {
        printf '%s\n' "$1" "$CONF_D" "${LLM_BASE_URL:-}" "${LLM_DEFAULT_MODEL:-}" "${LLM_HIGH_PRECISION_MODEL:-}" "${LOG_LEVEL:-}"
        engine image inspect --format '{{.Id}}' "$IMAGE" 2>/dev/null || true
        cat "$SINGLE/secret/llm_api_key" "$ROOT/compose.single.yaml" "$ROOT/packaging/container/single.sh"
    } | sha256sum | cut -d' ' -f1
}

run_container() { # PUBLISH: what compose.single.yaml says, without compose
    local name options=() log=(--log-driver json-file --log-opt max-size=10m --log-opt max-file=3)
    if [ "$ENGINE" = podman ]; then
        # The runtime directory is the image's own volume.
        options+=(--read-only-tmpfs=false)
        log=(--log-driver k8s-file --log-opt max-size=10mb)
    fi
    for name in LLM_BASE_URL LLM_DEFAULT_MODEL LLM_HIGH_PRECISION_MODEL LOG_LEVEL; do options+=(--env "$name=${!name:-}"); done
    engine run --detach --name "$CONTAINER" --env SERVICE_TYPE=api-gateway --env SCRIBE_LISTEN=0.0.0.0:8000 \
        --env LLM_API_KEY_FILE=/run/secrets/llm_api_key --volume "$SINGLE/secret/llm_api_key:/run/secrets/llm_api_key:ro" \
        --volume "$VOLUME:/var/lib/scribe-gateway" --volume "$CONF_D:/etc/scribe-gateway/gateway.conf.d:ro" \
        --publish "$1:8000" --restart unless-stopped --stop-timeout 100 --memory 768m --memory-swap 768m --pids-limit 512 \
        --read-only --cap-drop ALL --security-opt no-new-privileges "${log[@]}" "${options[@]}" "$IMAGE"
}

start_container() { # PUBLISH
    local tries url
    url=$(url_of "$1")
    if single_id >/dev/null; then
        engine rm -f -v "$CONTAINER" >/dev/null
    elif engine container inspect "$CONTAINER" >/dev/null 2>&1; then
        die "there is a container '$CONTAINER' that was not started here; set SCRIBE_CONTAINER to another name"
    fi
    rm -f "$SINGLE/id"
    engine volume inspect "$VOLUME" >/dev/null 2>&1 || : >"$SINGLE/made-volume"
    if has_compose; then
        quietly compose "$1" up --detach --no-build || die "the container did not start"
    else
        quietly run_container "$1" || { engine rm -f -v "$CONTAINER" >/dev/null 2>&1; die "the container did not start"; }
    fi
    engine container inspect --format '{{.Id}}' "$CONTAINER" >"$SINGLE/id"
    printf '%s\n' "$ENGINE" >"$SINGLE/engine"
    printf '%s\n' "$1" >"$SINGLE/publish"
    for ((tries = 0; tries < 120; tries++)); do
        single_running || break
        if engine exec "$CONTAINER" /usr/bin/scribe-gateway --healthcheck 2>/dev/null &&
            curl -fs --noproxy '*' -m 5 -o /dev/null "$url/ready"; then
            single_fingerprint "$1" >"$SINGLE/fingerprint"
            return
        fi
        sleep 0.25
    done
    engine logs "$CONTAINER" 2>&1 | tail -n 20 >&2
    die "the container does not become healthy at $url"
}

cmd_single() {
    local publish url key
    [ $# = 0 ] || die "single takes no arguments; see ./start.sh help"
    check_owner
    read_env_file
    read_key_file
    command -v curl >/dev/null || need_packages curl
    mkdir -p "$SINGLE"
    : >>"$MARK"
    CONF_D=$(realpath -- "${SCRIBE_CONF_D:-$ROOT/packaging/container/conf.d}") || die "there is no directory $SCRIBE_CONF_D"
    choose_engine
    need_image
    write_secret
    publish=$(choose_publish)
    if ! single_running || [ "$(single_fingerprint "$publish")" != "$(cat "$SINGLE/fingerprint" 2>/dev/null)" ]; then
        start_container "$publish"
    fi
    url=$(url_of "$publish")
    MODE=single
    key=$(first_key)
    say "scribe-gateway runs at $url (container $CONTAINER, $ENGINE)"
    [ -s "$SINGLE/secret/llm_api_key" ] || say "No LLM_API_KEY is set: the practice provider answers, it echoes what it is asked."
    say
    first_chat "$url" "$key"
    cat <<END

Next:
  eval "\$(./start.sh env)"              # SCRIBE_URL, SCRIBE_KEY and a scribectl that runs in the container
  scribectl status; scribectl key create alice; scribectl usage --by key
  ./start.sh logs -f                    # what happens, as it happens
  ./start.sh stop                       # --purge removes keys and usage, too
END
}

stop_single() {
    # Draining may take as long as drain_timeout says.
    engine stop -t 100 "$CONTAINER" >/dev/null
    engine rm -f -v "$CONTAINER" >/dev/null
    rm -f "$SINGLE/id"
}

purge_single() {
    [ -e "$SINGLE/made-volume" ] || return 0
    [ -n "$ENGINE" ] || choose_engine
    ! engine volume inspect "$VOLUME" >/dev/null 2>&1 || engine volume rm "$VOLUME" >/dev/null
    say "removed the volume $VOLUME"
}

env_single() {
    printf 'export SCRIBE_URL=%q\n' "$(url_of "$(cat "$SINGLE/publish")")"
    printf 'export SCRIBE_KEY=%q\n' "$(cat "$SINGLE/key")"
    printf 'scribectl() { %q exec %q /usr/bin/scribectl "$@"; }\n' "$ENGINE" "$CONTAINER"
}
