#!/bin/bash
#
# The set of compose.yaml, as far as this machine can have it: gateway, ledger and three services in a container each; PostgreSQL
# and Redis are Debian's, as processes, with the passwords and the command of that file. Two networks: the ledger and its database
# are in one of their own, as there; what the gateway knows of them it has by the two volumes. Prints TAP.
#
# usage: test_multi.sh SOURCE-DIRECTORY WORK-DIRECTORY
#
# Images stay in WORK-DIRECTORY, which test_container.sh uses, too.

# Functions are called by ok.
# shellcheck disable=SC2317
set -uo pipefail
export LC_ALL=C
SOURCE=$1
WORK=$2
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lab/container.sh
. "$HERE/container.sh"

missing=$(container_missing)
[ -z "$missing" ] || skip_rest "$missing"
container_home "$WORK" || skip_rest "no settings for podman could be made"
container_end # what an earlier run left that was cut short
container_base >"$WORK/base.log" 2>&1 || { sed 's/^/# /' "$WORK/base.log"; skip_rest "the base image could not be made"; }
TRY=$(mktemp -d)
chmod 0711 "$TRY" # the user postgres looks into it
end_process() { # NAME: of what wrote its pid there
    local pid tries
    pid=$(cat "$TRY/$1.pid") && rm "$TRY/$1.pid" && kill -INT "$pid" || return 1
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid"
    return 1
}
ends() {
    local name
    for name in postgres redis; do [ ! -e "$TRY/$name.pid" ] || end_process "$name"; done
    container_end
    rm -rf "${TRY:?}"
}
trap ends EXIT
export SCRIBE_LOCAL_DIR=$TRY/local SCRIBE_CONTAINER=lab-multi

IMAGE=localhost/scribe-gateway
for target in single service; do ok "start.sh build $target" "$SOURCE/start.sh" build $target; done
[ "$FAILED" = 0 ] || { echo "1..$N"; exit 1; }

# ---- two networks, names, passwords

FRONT=sgf$$ BACK=sgd$$
container_net "$BACK" || skip_rest "no network namespace can be joined to this machine"
ip -n "$BACK" link del eth0 # nothing leads out of it, and nothing in
container_net "$FRONT" || skip_rest "no second network namespace"
URL=http://$NET_INSIDE:8000
mkdir "$TRY/secret"
for name in postgres_password redis_password; do head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$TRY/secret/$name"; done
chmod 0755 "$TRY/secret"
chmod 0444 "$TRY/secret"/*

# ---- the two that are not ours

PG=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
comes_up() { # COMMAND...: within ten seconds
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    "$@"
}
sql() { # STATEMENT: as the ledger does, with the password and over TCP
    PGPASSWORD=$(cat "$TRY/secret/postgres_password") nsenter --net="/run/netns/$BACK" psql -XAtq -h 127.0.0.1 -U scribe -d "${DATABASE:-scribe}" -c "$1"
}
start_postgres() {
    nsenter --net="/run/netns/$BACK" setpriv --reuid=postgres --regid=postgres --init-groups -- \
        "$PG/postgres" -D "$TRY/postgres/data" -k "$TRY/postgres" -c listen_addresses=127.0.0.1 >>"$TRY/postgres.log" 2>&1 &
    echo $! >"$TRY/postgres.pid"
    DATABASE=postgres comes_up sql "SELECT 1"
}
make_postgres() { # as its image does it
    install -d -o postgres -g postgres "$TRY/postgres" && cd "$TRY/postgres" &&
        as_postgres "$PG/initdb" -D "$TRY/postgres/data" -U scribe --auth=scram-sha-256 --pwfile="$TRY/secret/postgres_password" &&
        start_postgres && DATABASE=postgres sql "CREATE DATABASE scribe"
}
of_compose() { # EXPRESSION of the file, as `file`
    python3 -c 'import sys, yaml
file = yaml.safe_load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$SOURCE/compose.yaml" "$1"
}
start_redis() { # by the command of compose.yaml, with directories of this test
    local command
    mkdir -p "$TRY/redis"
    command=$(of_compose 'file["services"]["redis"]["command"][2].replace("$$", "$")' | sed "s|/tmp/|$TRY/redis/|g; s|/run/secrets|$TRY/secret|g") || return 1
    (cd "$TRY/redis" && exec nsenter --net="/run/netns/$FRONT" sh -c "$command") >>"$TRY/redis.log" 2>&1 &
    echo $! >"$TRY/redis.pid"
    comes_up redis_says PONG PING
}
redis_says() { # WORDS COMMAND...
    REDISCLI_AUTH=$(cat "$TRY/secret/redis_password") nsenter --net="/run/netns/$FRONT" redis-cli "${@:2}" | grep -F "$1"
}
ok "PostgreSQL is there, with a password" make_postgres
ok "Redis is there, with the command of compose.yaml" start_redis
ok "which wants its password" ends_with 0 NOAUTH nsenter --net="/run/netns/$FRONT" redis-cli KEYS '*'

# ---- the containers

run() { # NAME MEMORY OPTION... IMAGE ARGUMENT...: as compose.yaml has it
    engine run -d --pull never --name "$1" --read-only --read-only-tmpfs=false --cap-drop=all --security-opt no-new-privileges \
        --pids-limit 256 -m "$2" --memory-swap "$2" "${@:3}"
}
OF_GATEWAY=(-v lab-multi-state:/var/lib/scribe-gateway -v lab-multi-run:/run/scribe-gateway
    -v "$SOURCE/packaging/container/multi.d:/etc/scribe-gateway/gateway.conf.d:ro")
secret() { printf -- '-v\n%s:/run/secrets/%s:ro\n' "$TRY/secret/$1" "$1"; }
mapfile -t POSTGRES_PASSWORD < <(secret postgres_password)
mapfile -t REDIS_PASSWORD < <(secret redis_password)
memory_volume() { # without its size, which podman 4.3 takes for a quota of the disk
    local options
    options=$(of_compose 'file["volumes"]["run"]["driver_opts"]["o"].split(",", 1)[1]') || return 1
    engine volume create --opt type=tmpfs --opt device=tmpfs --opt "o=$options" lab-multi-run
}
in_memory() { grep ' /run/scribe-gateway .* - tmpfs ' "/proc/$(engine container inspect --format '{{.State.Pid}}' gateway)/mountinfo"; }
run_ledger() {
    run ledger 128m --network "ns:/run/netns/$BACK" --add-host postgres:127.0.0.1 "${OF_GATEWAY[@]}" "${POSTGRES_PASSWORD[@]}" "$IMAGE:latest" ledger
}
run_gateway() {
    run gateway 128m --network "ns:/run/netns/$FRONT" --add-host redis:127.0.0.1 --add-host connection-service:127.0.0.1 \
        --add-host query-service:127.0.0.1 --add-host ai-service:127.0.0.1 --stop-timeout 100 -e SCRIBE_LISTEN=0.0.0.0:8000 \
        "${OF_GATEWAY[@]}" "${REDIS_PASSWORD[@]}" "$IMAGE:latest" api-gateway
}
SERVICES="connection-service:8081:connections query-service:8082:query ai-service:8083:ai"
run_service() { # NAME PORT
    run "$1" 256m --network "ns:/run/netns/$FRONT" --tmpfs /tmp:size=8m,mode=1777 "$IMAGE:service" "$1" "$2"
}
service_is_well() { comes_up engine exec "$1" curl -fsS -m 5 "http://127.0.0.1:$2/api/health"; }
get() { curl -sS --noproxy '*' -m 10 -H @<(printf 'Authorization: Bearer %s\n' "${KEY-}") "$URL$1"; }
all_is() { # STATUS: of the gateway and what it depends on, within half a minute
    local tries
    for ((tries = 0; tries < 150; tries++)); do
        if get /api/health/all | grep -qE "^\{\"status\": ?\"$1\""; then return 0; fi
        sleep 0.2
    done
    get /api/health/all
    return 1
}
ok "a volume in memory for the runtime directory" memory_volume
ok "the ledger starts" run_ledger
ok "the gateway starts" run_gateway
for service in $SERVICES; do
    IFS=: read -r name port _ <<<"$service"
    ok "$name starts" run_service "$name" "$port"
done
ok "with its runtime directory in memory" in_memory
LOOKED_AT=ledger
ok "the ledger is healthy: it answers scribectl" comes_up ctl ledger key list --json
LOOKED_AT=gateway
ok "the gateway is healthy" container_wait gateway
ok "from outside it is ready" comes_up curl -fsS --noproxy '*' -m 5 "$URL/ready"
for service in $SERVICES; do
    IFS=: read -r name port _ <<<"$service"
    ok "$name is healthy" service_is_well "$name" "$port"
done
ok "and the gateway finds all well" all_is ok

n_rows() { sql "SELECT count(*) FROM scribe.usage"; }
KEY=$(new_key gateway alice)
ok "a first chat from outside" says "$URL" "$KEY" "hello fleet"
ok "is a row in PostgreSQL" comes_to 1 n_rows
ok "which the ledger knows" comes_to 1 n_requests gateway alice
for service in $SERVICES; do
    IFS=: read -r name _ path <<<"$service"
    ok "/api/$path is $name, which is told the key's name" ends_with 0 "{\"service\":\"$name\",\"method\":\"GET\",\"path\":\"/api/$path/x?y=1\",\"key\":\"alice\"}" \
        get "/api/$path/x?y=1"
done
ok "nobody gets there without a key" ends_with 22 "401" curl -fsS --noproxy '*' -m 10 "$URL/api/query/x"

# ---- bounds

limit_is() { [ "$(engine container inspect --format '{{.HostConfig.Memory}}' "$1")" = "$2" ]; }
for name in gateway ledger; do ok "$name has 128 MB" limit_is $name 134217728; done
for service in $SERVICES; do ok "${service%%:*} has 256 MB" limit_is "${service%%:*}" 268435456; done
bodies() { # six of 7 MB side by side, more than max_bodies has room for: none may take the container down
    local i pids=()
    { printf '{"model":"default","messages":[{"role":"user","content":"'; head -c 7000000 /dev/zero | tr '\0' x; printf '"}]}'; } >"$TRY/body"
    for i in 1 2 3 4 5 6; do
        curl -sS --noproxy '*' -m 30 -o /dev/null -w '%{http_code}\n' -H @<(printf 'Authorization: Bearer %s\n' "$KEY") --data-binary @"$TRY/body" \
            "$URL/v1/chat/completions" >"$TRY/status.$i" &
        pids+=($!)
    done
    wait "${pids[@]}"
    cat "$TRY"/status.*
    grep -q 200 "$TRY"/status.* && ! grep -qvhE '^(200|503)$' "$TRY"/status.*
}
ok "42 MB of bodies at once are answered or refused" bodies
was_not_killed() { [ "$(engine container inspect --format '{{.State.OOMKilled}} {{.State.Running}} {{.RestartCount}}' gateway)" = "false true 0" ]; }
ok "and the gateway is as it was" was_not_killed
runtime_bytes() { engine volume inspect --format '{{.Mountpoint}}' lab-multi-run | xargs du -sk | cut -f1; }
fits_runtime() { echo "# the runtime directory takes $(runtime_bytes) KB" >&3 && [ "$(runtime_bytes)" -lt 16384 ]; }
exec 3>&1
ok "the runtime directory has room to spare" fits_runtime
logs() { for name in gateway ledger; do engine logs "$name" 2>&1; done; }
for name in postgres redis; do
    ok "the password of $name is in no inspect" lacks "$(cat "$TRY/secret/${name}_password")" engine container inspect gateway ledger
    ok "and in no log" lacks "$(cat "$TRY/secret/${name}_password")" logs
done

# ---- what ends, and comes back

ok "a service that is stopped" engine stop -t 5 query-service
ok "is seen" all_is '(degraded|unhealthy|fail|error|down)'
ok "is told to whom it asked" ends_with 0 '"error"' get /api/query/x
ok "while another one answers" ends_with 0 '"service":"ai-service"' get /api/ai/x
ok "started again" engine start query-service
ok "it is well again" all_is ok
ok "and answers" ends_with 0 '"service":"query-service"' get /api/query/x

# Chats one after another, until the file `stop` is there: the id of each that was answered. What met a closed port is no answer.
talk() { # FILE
    local found
    while [ ! -e "$TRY/stop" ]; do
        found=$(curl -sS --noproxy '*' -m 20 -o /dev/null -w '%{http_code} %header{x-request-id}' -H @<(printf 'Authorization: Bearer %s\n' "$KEY") \
            -d '{"model":"default","messages":[{"role":"user","content":"a b c"}]}' "$URL/v1/chat/completions" 2>/dev/null)
        printf '%s\n' "$found" >>"$1"
        [ "${found%% *}" = 200 ] || sleep 0.05
    done
}
n_answered() { cat "$TRY"/talk.* | grep -c '^200 '; }
goes_on() { # ten more answers
    local more=$(($(n_answered) + 10))
    comes_up enough "$more"
}
enough() { [ "$(n_answered)" -ge "$1" ]; }
known() { sql "SELECT request_id FROM scribe.usage" | sort >"$TRY/known"; }
each_once() { # every answered chat is one row, within ten seconds
    grep -h '^200 ' "$TRY"/talk.* | cut -d' ' -f2 | sort >"$TRY/answered"
    echo "# $(wc -l <"$TRY/answered") chats answered" >&3
    comes_up none_is_missing && known && [ -z "$(uniq -d "$TRY/known")" ]
}
none_is_missing() { known && [ -z "$(comm -23 "$TRY/answered" "$TRY/known")" ]; }
TALKERS=()
for i in 1 2; do
    talk "$TRY/talk.$i" &
    TALKERS+=($!)
done
ok "clients talk" goes_on
LOOKED_AT=ledger
ok "the ledger is restarted" engine restart -t 10 ledger
ok "and they go on" goes_on
database_restarts() { end_process postgres && goes_on && start_postgres; }
ok "PostgreSQL ends and comes back, and they go on" database_restarts
LOOKED_AT=gateway
ok "Redis ends" end_process redis
ok "and they go on" goes_on
ok "and comes back" start_redis
killed_and_started() { engine kill -s KILL gateway && engine start gateway && container_wait gateway; }
ok "the gateway is killed and started" killed_and_started
ok "and they go on" goes_on
replaced() { # as an upgrade does it: new containers on the same volumes
    engine stop -t 20 gateway && engine stop -t 20 ledger && engine rm gateway ledger && run_ledger && run_gateway && container_wait gateway
}
ok "new containers take the place of gateway and ledger" replaced
ok "and they go on" goes_on
touch "$TRY/stop"
wait "${TALKERS[@]}"
ok "each answered chat is one row in PostgreSQL" each_once
ok "all is well again" all_is ok

# ---- the end

exit_code() { [ "$(engine container inspect --format '{{.State.ExitCode}}' "$1")" = 0 ]; }
for name in gateway ledger connection-service; do
    ok "a stop of $name" engine stop -t 20 "$name"
    ok "ends with 0" exit_code "$name"
done
echo "1..$N"
exit "$FAILED"
