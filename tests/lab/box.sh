# Sourced by the tests of this directory: a Debian 12 with systemd as PID 1, booted from a folder and thrown away.
#
#   box_base DIR PACKAGE...   builds the folder once (mmdebstrap); again with the same packages: nothing to do
#   box_boot DIR              boots a copy of it (systemd-nspawn, changes are kept in memory), waits until it is up
#   box_run COMMAND...        runs a command inside, as root; its status is the command's
#   box_put FILE PATH         copies a file in
#   box_end                   takes it down; nothing is left of it
#
# The machine itself need not run systemd: without it the box gets control groups of its own, removed by box_end.
# shellcheck shell=bash disable=SC2016,SC2013

BOX_NAME=sgbox$$
BOX_PID=
BOX_INIT=
BOX_GROUPS=()

box_missing() { # prints what this machine lacks for boxes; nothing when it can
    local program
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    for program in mmdebstrap systemd-nspawn nsenter unshare; do
        command -v "$program" >/dev/null || { echo "no $program (packages mmdebstrap, systemd-container)"; return; }
    done
    findmnt -n -t cgroup2 >/dev/null || { echo "no cgroup2 file system is mounted"; return; }
    unshare --mount true 2>/dev/null || echo "no right to make namespaces"
}

box_base() { # DIR PACKAGE...
    local dir=$1 packages proxy=() sources
    shift
    packages=$(printf '%s\n' systemd systemd-sysv dbus ca-certificates curl procps "$@" | sort -u | paste -sd,)
    [ "$(cat "$dir/packages" 2>/dev/null)" != "$packages" ] || return 0
    rm -rf --one-file-system -- "$dir"
    mkdir -p "$dir"
    # The archives that this machine's apt uses, with its proxy.
    apt-config dump | grep -E '^Acquire::https?::(Proxy|CAInfo|Verify)' >"$dir/apt.conf" || true
    sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' | grep bookworm | sort -u)
    unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        --aptopt="$dir/apt.conf" "${proxy[@]}" bookworm "$dir/root" - <<<"$sources" >"$dir/log" 2>&1 || {
        tail -n 20 "$dir/log" >&2
        return 1
    }
    : >"$dir/root/etc/machine-id"
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$dir/root/etc/hosts"
    local unit
    for unit in console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer; do
        ln -sf /dev/null "$dir/root/etc/systemd/system/$unit"
    done
    printf '%s\n' "$packages" >"$dir/packages"
}

box_boot() { # DIR
    local tries child mount args=()
    BOX_DIR=$1
    if [ ! -d /run/systemd/system ]; then
        # Nobody hands out scopes here: control groups by hand, and the box keeps the one it is started in.
        for mount in $(findmnt -n -t cgroup2 -o TARGET) $(findmnt -n -t cgroup -O name=systemd -o TARGET); do
            mkdir -p "$mount/$BOX_NAME"
            BOX_GROUPS+=("$mount/$BOX_NAME")
        done
        args+=(--keep-unit --register=no)
    fi
    (
        for mount in "${BOX_GROUPS[@]}"; do echo "$BASHPID" >"$mount/cgroup.procs"; done
        exec unshare --mount --propagation slave setsid systemd-nspawn --quiet --directory="$BOX_DIR/root" --volatile=overlay \
            --boot --machine="$BOX_NAME" --private-network --link-journal=no --resolv-conf=off --timezone=off "${args[@]}"
    ) </dev/null >"$BOX_DIR/console.$$" 2>&1 &
    BOX_PID=$!
    for ((tries = 0; tries < 600; tries++)); do
        kill -0 "$BOX_PID" 2>/dev/null || break
        if [ -z "$BOX_INIT" ]; then
            for child in $(box_descendants "$BOX_PID"); do
                if [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ] && [ -S "/proc/$child/root/run/systemd/private" ]; then
                    BOX_INIT=$child
                fi
            done
        fi
        if [ -n "$BOX_INIT" ]; then
            case $(box_run systemctl is-system-running 2>/dev/null) in running | degraded) return 0 ;; esac
        fi
        sleep 0.1
    done
    tail -n 30 "$BOX_DIR/console.$$" >&2
    return 1
}

box_descendants() { # PID
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        echo "$child"
        box_descendants "$child"
    done
}

box_run() { # COMMAND...
    nsenter --target "$BOX_INIT" --mount --uts --ipc --net --pid --cgroup -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"
}

box_put() { # FILE PATH
    box_run sh -c "cat >'$2'" <"$1"
}

box_end() {
    local group tries
    [ -n "$BOX_PID" ] || return 0
    [ -z "$BOX_INIT" ] || kill -s RTMIN+4 "$BOX_INIT" 2>/dev/null || true # systemd: power off
    for ((tries = 0; tries < 200; tries++)); do
        kill -0 "$BOX_PID" 2>/dev/null || break
        sleep 0.05
    done
    [ -z "$BOX_INIT" ] || ! kill -0 "$BOX_PID" 2>/dev/null || kill -KILL "$BOX_INIT" 2>/dev/null || true
    kill -KILL "$BOX_PID" 2>/dev/null || true
    wait "$BOX_PID" 2>/dev/null || true
    BOX_PID=
    for group in "${BOX_GROUPS[@]}"; do
        for ((tries = 0; tries < 40; tries++)); do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ -d "$group" ] || break
            sleep 0.05
        done
    done
    rm -f "$BOX_DIR/console.$$"
}
