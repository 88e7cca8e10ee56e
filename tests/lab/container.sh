# Sourced by the tests of this directory: images and containers without an engine's daemon and without a registry.
#
#   container_missing         prints what this machine lacks; nothing when it can
#   container_home DIR        settings for podman, in DIR, apart from any that the machine has of its own
#   container_base            makes debian:bookworm-slim there, once, from the archives that this machine's apt uses
#   container_net NAME        a network namespace with an address, joined to this machine's: sets NET_INSIDE
#   engine ARGUMENT...        podman
#   container_wait NAME       until the health check of its image passes, ten seconds at most
#   container_end             stops and removes all containers, their volumes and the namespaces; images stay for the next run
#
# and what the cases are made of: ok, skip, skip_rest; ends_with, lacks, comes_to; ctl, new_key, chat, says, n_requests.
#
# start.sh works on the same images: SCRIBE_ENGINE=podman and SCRIBE_BUILD_OPTIONS are exported by container_home.
# shellcheck shell=bash disable=SC2016,SC2034

CONTAINER_NETS=()

container_missing() {
    local program
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    for program in podman buildah runc mmdebstrap ip; do
        command -v "$program" >/dev/null || { echo "no $program (packages podman, buildah, runc, mmdebstrap, iproute2)"; return; }
    done
    unshare --mount --net --pid --fork true 2>/dev/null || echo "no right to make namespaces"
}

container_home() { # DIR
    local files processes driver=vfs
    mkdir -p "$1/try/"{l,u,w,m} "$1/tmp"
    CONTAINER_HOME=$(realpath "$1")
    # The overlay driver, where the kernel lets it; else every layer is a full copy.
    if mount -t overlay overlay -o "lowerdir=$1/try/l,upperdir=$1/try/u,workdir=$1/try/w" "$1/try/m" 2>/dev/null; then
        umount "$1/try/m"
        driver=overlay
    fi
    rm -rf "$1/try"
    printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' \
        "$driver" "$CONTAINER_HOME/images" "$CONTAINER_HOME/state" >"$CONTAINER_HOME/storage.conf"
    # Short names are local images; nothing is looked up anywhere else.
    printf 'unqualified-search-registries = ["localhost"]\nshort-name-mode = "permissive"\n[aliases]\n"debian" = "localhost/debian"\n' \
        >"$CONTAINER_HOME/registries.conf"
    # No systemd is needed, and no limit beyond those of the caller.
    files=$(ulimit -Hn) processes=$(ulimit -Hu)
    [[ $files != unlimited && $files -le 65536 ]] || files=65536
    [[ $processes != unlimited && $processes -le 16384 ]] || processes=16384
    cat >"$CONTAINER_HOME/containers.conf" <<END
[containers]
netns = "host"
log_driver = "k8s-file"
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
    export CONTAINERS_STORAGE_CONF=$CONTAINER_HOME/storage.conf CONTAINERS_CONF=$CONTAINER_HOME/containers.conf
    export CONTAINERS_REGISTRIES_CONF=$CONTAINER_HOME/registries.conf TMPDIR=$CONTAINER_HOME/tmp
    # What apt needs in a step of a build to get out of here is bound in, and is no part of the image.
    apt-config dump | grep -iE '^Acquire::(https?::)?(Proxy|Retries)' >"$CONTAINER_HOME/apt.conf" || true
    export SCRIBE_ENGINE=podman
    export SCRIBE_BUILD_OPTIONS="--isolation chroot --network host --pull=never --volume $CONTAINER_HOME/apt.conf:/etc/apt/apt.conf.d/95here:ro"
}

engine() { podman --log-level fatal "$@"; }

container_base() {
    local options=() line sources=$CONTAINER_HOME/debian.list
    ! engine image exists localhost/debian:bookworm-slim || return 0
    apt-get indextargets --format '$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -n 's/^Debian|\(deb .* bookworm.*\)/\1/p' | sort -u >"$sources"
    [ -s "$sources" ] || { echo "apt knows no source of Debian 12 (apt-get update?)"; return 1; }
    while IFS= read -r line; do options+=(--aptopt="$line"); done <"$CONTAINER_HOME/apt.conf"
    # As the published slim image: no manuals and translations, but every copyright; no package is kept.
    mmdebstrap --quiet --mode=root --variant=minbase "${options[@]}" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' --aptopt='Acquire::Languages "none"' \
        --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf" "$1"/var/lib/apt/lists/*_*' \
        bookworm "$CONTAINER_HOME/base.tar" "$sources" || return 1
    engine import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        "$CONTAINER_HOME/base.tar" localhost/debian:bookworm-slim
    rm -f "$CONTAINER_HOME/base.tar"
}

# One end of a cable is in the namespace, the other here: what connects to NET_INSIDE comes from outside.
container_net() { # NAME
    local third=$((${#CONTAINER_NETS[@]} + 1)) fourth=$(($$ % 250))
    ip netns add "$1" || return 1
    CONTAINER_NETS+=("$1")
    ip link add "v$$-$third" type veth peer name eth0 netns "$1" &&
        ip addr add "198.18.$fourth.$((4 * third + 1))/30" dev "v$$-$third" && ip link set "v$$-$third" up &&
        ip -n "$1" addr add "198.18.$fourth.$((4 * third + 2))/30" dev eth0 && ip -n "$1" link set eth0 up &&
        ip -n "$1" link set lo up || return 1
    NET_INSIDE=198.18.$fourth.$((4 * third + 2))
}

container_wait() { # NAME
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if engine healthcheck run "$1" >/dev/null 2>&1; then return 0; fi
        [ "$(engine container inspect --format '{{.State.Running}}' "$1")" = true ] || break
        sleep 0.1
    done
    engine healthcheck run "$1"
}

container_end() {
    local name
    engine rm -f -t 2 -v -a >/dev/null 2>&1
    engine volume prune -f >/dev/null 2>&1
    engine image prune -f --filter until=24h >/dev/null 2>&1
    for name in "${CONTAINER_NETS[@]}"; do ip netns del "$name"; done
    CONTAINER_NETS=()
}

# ---- cases, as TAP

N=0
FAILED=0
LOOKED_AT=
ok() { # NAME COMMAND...: a case that passes when the command succeeds
    local name=$1 out
    shift
    N=$((N + 1))
    if out=$("$@" 2>&1); then
        echo "ok $N - $name"
    else
        tail -n 60 <<<"$out" | sed 's/^/# /'
        [ -z "$LOOKED_AT" ] || engine logs --tail 20 "$LOOKED_AT" 2>&1 | sed 's/^/# log: /'
        echo "not ok $N - $name"
        FAILED=1
    fi
}
skip() { # NAME REASON
    N=$((N + 1))
    echo "ok $N - $1 # SKIP $2"
}
skip_rest() { # REASON: this machine cannot do what the remaining cases need
    skip "images and containers" "$*"
    echo "1..$N"
    exit "$FAILED"
}
ends_with() { # STATUS WORDS COMMAND...
    local wanted=$1 words=$2 out status=0
    shift 2
    out=$("$@" 2>&1) || status=$?
    echo "status $status: $out"
    [ "$status" = "$wanted" ] && grep -qF -- "$words" <<<"$out"
}
lacks() { # WORDS COMMAND...: nothing that the command prints has them
    local words=$1 out
    shift
    out=$("$@" 2>&1) || return 1
    ! grep -F -- "$words" <<<"$out"
}

# ---- what is asked of gateways in containers

ctl() { engine exec "$1" /usr/bin/scribectl "${@:2}"; }
new_key() { # CONTAINER NAME: prints its secret
    ctl "$1" key create "$2" --json | grep -oE 'sk-[A-Za-z0-9]{32}'
}
chat() { # URL KEY WORDS [MORE]
    curl -sS --noproxy '*' -m 20 -H @<(printf 'Authorization: Bearer %s\n' "$2") \
        -d "{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"$3\"}]${4-}}" "$1/v1/chat/completions"
}
says() { ends_with 0 "$3" chat "$@"; }
n_requests() { # CONTAINER NAME: of this key, in the ledger
    ctl "$1" usage --by key --json | python3 -c 'import json, sys
print(sum(row["requests"] for row in json.load(sys.stdin)["rows"] if row["group"] == sys.argv[1]))' "$2"
}
comes_to() { # NUMBER COMMAND...: prints this number, within five seconds
    local wanted=$1 tries
    shift
    for ((tries = 0; tries < 50; tries++)); do
        [ "$("$@")" != "$wanted" ] || return 0
        sleep 0.1
    done
    echo "it prints $("$@")"
    return 1
}
