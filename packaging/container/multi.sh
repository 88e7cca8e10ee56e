# Sourced by start.sh: gateway, ledger, PostgreSQL, Redis and services in a container each, by compose.yaml.
#
# Passwords are made once and kept in $LOCAL/multi/secret. Only the project whose name is kept in $LOCAL/multi is ever stopped.
# shellcheck shell=bash disable=SC2153,SC2034

MULTI=$LOCAL/multi
PROJECT=${SCRIBE_PROJECT:-scribe-gateway-multi}

# compose is a plugin of docker, or a program of its own.
choose_compose() {
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
    elif command -v docker-compose >/dev/null; then
        COMPOSE=(docker-compose)
    else
        die "multi needs docker compose: install docker and its compose plugin (Debian 12: docker.io docker-compose)"
    fi
}

multi_compose() {
    [ -n "${COMPOSE[*]-}" ] || choose_compose
    SCRIBE_SECRETS=$MULTI/secret SCRIBE_PUBLISH=${PUBLISH:-$(cat "$MULTI/publish" 2>/dev/null || true)} LLM_API_KEY='' \
        LLM_API_KEY_FILE=$MULTI/secret/llm_api_key "${COMPOSE[@]}" -p "$PROJECT" -f "$ROOT/compose.yaml" "$@"
}

multi_running() {
    [ "$(cat "$MULTI/project" 2>/dev/null)" = "$PROJECT" ] || return 1
    [ -n "$(multi_compose ps -q gateway 2>/dev/null)" ]
}

multi_ctl() { multi_compose exec -T gateway /usr/bin/scribectl "$@"; }

# The directory keeps others of this machine out; in the containers, where the files alone are mounted, other users read them.
multi_secrets() {
    local name
    mkdir -p "$MULTI/secret"
    chmod 0700 "$MULTI/secret"
    for name in postgres_password redis_password; do
        [ -s "$MULTI/secret/$name" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$MULTI/secret/$name"
    done
    rm -f "$MULTI/secret/llm_api_key"
    printf '%s' "${LLM_API_KEY:-}" >"$MULTI/secret/llm_api_key"
    chmod 0444 "$MULTI/secret"/*
}

cmd_multi() {
    local url key tries
    [ $# = 0 ] || die "multi takes no arguments; see ./start.sh help"
    check_owner
    read_env_file
    read_key_file
    command -v curl >/dev/null || need_packages curl
    choose_compose
    mkdir -p "$MULTI"
    : >>"$MARK"
    multi_secrets
    if [ -r "$MULTI/publish" ] && multi_running; then PUBLISH=$(cat "$MULTI/publish"); else PUBLISH=$(choose_publish); fi
    printf '%s\n' "$PUBLISH" >"$MULTI/publish"
    printf '%s\n' "$PROJECT" >"$MULTI/project"
    note "building and starting (some minutes the first time)"
    quietly multi_compose up --detach --build || die "the containers did not start"
    url=$(url_of "$PUBLISH")
    for ((tries = 0; tries < 240; tries++)); do
        if curl -fs --noproxy '*' -m 5 -o /dev/null "$url/ready" && multi_ctl key list >/dev/null 2>&1; then break; fi
        sleep 0.5
    done
    [ "$tries" -lt 240 ] || { multi_compose logs --tail 20 >&2; die "the gateway does not become ready at $url"; }
    MODE=multi
    key=$(first_key)
    say "scribe-gateway runs at $url (compose project $PROJECT)"
    [ -s "$MULTI/secret/llm_api_key" ] || say "No LLM_API_KEY is set: the practice provider answers, it echoes what it is asked."
    say
    first_chat "$url" "$key"
    say
    say "\$ curl $url/api/query/hello -H \"Authorization: Bearer \$SCRIBE_KEY\""
    curl -sS --noproxy '*' -m 10 -H @<(printf 'Authorization: Bearer %s\n' "$key") "$url/api/query/hello" ||
        die "a service does not answer; see ./start.sh logs"
    say
    say "\$ curl $url/api/health/all"
    curl -sS --noproxy '*' -m 10 "$url/api/health/all"
    cat <<END


Next:
  eval "\$(./start.sh env)"              # SCRIBE_URL, SCRIBE_KEY and a scribectl that runs in the container
  scribectl key create alice --rpm 60 --budget 20usd/month; scribectl limits show
  ./start.sh status; ./start.sh logs -f
  ./start.sh stop                       # --purge removes keys, usage and passwords, too
END
}

stop_multi() {
    multi_compose down --timeout 100 >/dev/null 2>&1 || die "the containers could not be stopped: docker ps"
    rm -f "$MULTI/project"
}

purge_multi() {
    [ -e "$MULTI/publish" ] || return 0
    multi_compose down --volumes >/dev/null 2>&1 || die "the volumes of $PROJECT could not be removed: docker volume ls"
    say "removed the volumes of $PROJECT"
}

env_multi() {
    choose_compose
    printf 'export SCRIBE_URL=%q\n' "$(url_of "$(cat "$MULTI/publish")")"
    printf 'export SCRIBE_KEY=%q\n' "$(cat "$MULTI/key")"
    printf 'scribectl() { SCRIBE_SECRETS=%q %s -p %q -f %q exec -T gateway /usr/bin/scribectl "$@"; }\n' "$MULTI/secret" "${COMPOSE[*]}" \
        "$PROJECT" "$ROOT/compose.yaml"
}
