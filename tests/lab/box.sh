#!/bin/bash
#
# box.sh - a Debian with systemd as PID 1, booted from a folder within a second and thrown away
#
# Sourced by the tests in shell; tests in Python go through box.py, which runs it (hold, run, base).
#
#   box_missing               prints what this machine lacks for boxes; nothing when it can
#   box_base DIR PACKAGE...   builds the folder once (mmdebstrap); again with the same packages: nothing to do
#   box_boot DIR              boots a copy of it (systemd-nspawn, changes are kept in memory), waits until it is up
#   box_run COMMAND...        runs a command inside, as root; its status is the command's
#   box_put FILE PATH         copies a file in
#   box_get PATH FILE         copies a file out
#   box_reboot                boots it again with its files as they are
#   box_end                   takes it down; nothing is left of it
#
# BOX_SUITE chooses the Debian: bookworm (12, systemd 252; what is taken when it is not set) or trixie (13, systemd 257). The
# archives are those that this machine's apt uses. One shell has one box at a time; several shells may have theirs at once, also
# from one folder.
#
# The machine itself need not run systemd: without it the box gets control groups of its own, removed by box_end. They have no
# controllers where the machine keeps those to itself: limits of memory and tasks are not enforced in a box.
# shellcheck shell=bash disable=SC2016,SC2013

BOX_SH=$(readlink -f -- "${BASH_SOURCE[0]}")
BOX_SUITE=${BOX_SUITE:-bookworm}
BOX_NAME=sgbox$$
BOX_PID=  # the keeper: holds the mounts, runs systemd-nspawn
BOX_INIT= # PID 1 of the box, as this machine counts
BOX_GROUPS=()

box_missing() {
    local program
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    for program in mmdebstrap systemd-nspawn nsenter unshare setpriv flock; do
        command -v "$program" >/dev/null || { echo "no $program (packages mmdebstrap, systemd-container, util-linux)"; return; }
    done
    findmnt -n -t cgroup2 >/dev/null || { echo "no cgroup2 file system is mounted"; return; }
    unshare --mount true 2>/dev/null || echo "no right to make namespaces"
}

# ---- the folder

box_sources() { # what this machine's apt uses, for BOX_SUITE instead of its own
    local own
    own=$(sed -n "s/^VERSION_CODENAME=//p" /etc/os-release)
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' |
        awk -v own="$own" '$3 == own || $3 == own "-updates" || $3 == own "-security"' | sed "s/ $own/ $BOX_SUITE/" | sort -u
}

box_base() { # DIR PACKAGE...
    local dir=$1 wanted lock unit
    shift
    wanted="$BOX_SUITE $(printf '%s\n' systemd systemd-sysv dbus ca-certificates curl procps "$@" | sort -u | paste -sd,)"
    mkdir -p "$(dirname -- "$dir")"
    exec {lock}>"$dir.lock"
    flock "$lock"
    if [ "$(cat "$dir/packages" 2>/dev/null)" != "$wanted" ]; then
        rm -rf --one-file-system -- "$dir"
        mkdir -p "$dir"
        apt-config dump | grep -E '^Acquire::(https?::(Proxy|CAInfo|Verify)|Retries)' >"$dir/apt.conf" || true
        box_sources >"$dir/sources"
        if ! unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=minbase --include="${wanted#* }" \
            --aptopt="$dir/apt.conf" "$BOX_SUITE" "$dir/root" - <"$dir/sources" >"$dir/log" 2>&1; then
            tail -n 20 "$dir/log" >&2
            exec {lock}>&-
            return 1
        fi
        : >"$dir/root/etc/machine-id"
        printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$dir/root/etc/hosts"
        mkdir -p "$dir/root/var/log/journal" # kept over a reboot
        for unit in console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
            e2scrub_all.timer e2scrub_reap.service man-db.timer modprobe@drm.service systemd-networkd-wait-online.service; do
            ln -sf /dev/null "$dir/root/etc/systemd/system/$unit"
        done
        printf '%s\n' "$wanted" >"$dir/packages"
    fi
    exec {lock}>&-
}

# ---- up and down

box_groups() { # fills BOX_GROUPS: the folder of this box in each hierarchy of control groups
    local mount
    BOX_GROUPS=()
    [ ! -d /run/systemd/system ] || return 0 # systemd-nspawn asks systemd for a scope
    for mount in $(findmnt -n -t cgroup2 -o TARGET) $(findmnt -n -t cgroup -O name=systemd -o TARGET); do
        mkdir -p "$mount/$BOX_NAME/keeper" "$mount/$BOX_NAME/box"
        BOX_GROUPS+=("$mount/$BOX_NAME")
    done
}

# Runs as a process with a mount namespace of its own: its mounts are seen by nobody else and go when it goes.
box_keep() { # DIR NAME GROUP...
    local dir=$1 name=$2 work group child="" status args=()
    shift 2
    work=$dir/mount
    trap '[ -z "$child" ] || kill -TERM "$child"' TERM
    mount -t tmpfs -o mode=0755 box "$work"
    mkdir -p "$work/upper" "$work/work" "$work/root"
    mount -t overlay -o "lowerdir=$dir/root,upperdir=$work/upper,workdir=$work/work" box "$work/root"
    if [ $# -gt 0 ]; then # no systemd here: nobody to register with, and what systemd-nspawn leaves in /run goes as well
        args+=(--keep-unit --register=no)
        mount -t tmpfs -o mode=0755 box /run
    fi
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
    while :; do
        (
            for group in "$@"; do echo "$BASHPID" >"$group/box/cgroup.procs"; done
            # What systemd may do on a machine and its sandbox options want: BPF for IPAddressDeny=, landlock, the keyring.
            exec setpriv --pdeathsig KILL systemd-nspawn --quiet --directory="$work/root" --boot --machine="$name" \
                --hostname=box --private-network --link-journal=no --resolv-conf=off --timezone=off --console=read-only \
                --settings=no --capability=CAP_BPF,CAP_PERFMON,CAP_IPC_LOCK \
                --system-call-filter="bpf perf_event_open @keyring landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
                "${args[@]}"
        ) &
        child=$!
        status=0
        wait "$child" || status=$?
        [ "$status" = 133 ] || exit "$status" # 133: it wants to be booted again
    done
}

box_boot() { # DIR
    local group
    BOX_DIR=$1
    mkdir -p "$BOX_DIR/mount"
    box_groups
    (
        for group in "${BOX_GROUPS[@]}"; do echo "$BASHPID" >"$group/keeper/cgroup.procs"; done
        exec setpriv --pdeathsig TERM unshare --mount --propagation private setsid \
            bash "$BOX_SH" keep "$BOX_DIR" "$BOX_NAME" "${BOX_GROUPS[@]}"
    ) </dev/null >"$BOX_DIR/console.$$" 2>&1 &
    BOX_PID=$!
    BOX_INIT=
    box_await
}

box_await() { # until a PID 1 other than BOX_INIT says that it is up
    local tries child old=$BOX_INIT
    BOX_INIT=
    for ((tries = 0; tries < 600; tries++)); do
        kill -0 "$BOX_PID" 2>/dev/null || break
        if [ -z "$BOX_INIT" ]; then
            for child in $(box_descendants "$BOX_PID"); do
                if [ "$child" != "$old" ] && [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ] &&
                    [ -S "/proc/$child/root/run/systemd/private" ] && grep -q '^NSpid:.*[[:space:]]1$' "/proc/$child/status"; then
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

box_reboot() {
    box_run systemctl --no-block reboot
    box_await
}

box_end() {
    local group tries
    [ -n "$BOX_PID" ] || return 0
    [ -z "$BOX_INIT" ] || kill -s RTMIN+14 "$BOX_INIT" 2>/dev/null || true # systemd: power off, at once
    for ((tries = 0; tries < 200; tries++)); do
        kill -0 "$BOX_PID" 2>/dev/null || break
        sleep 0.05
    done
    [ -z "$BOX_INIT" ] || ! kill -0 "$BOX_PID" 2>/dev/null || kill -KILL "$BOX_INIT" 2>/dev/null || true
    kill -KILL "$BOX_PID" 2>/dev/null || true
    wait "$BOX_PID" 2>/dev/null || true
    BOX_PID=
    BOX_INIT=
    for group in "${BOX_GROUPS[@]}"; do
        for ((tries = 0; tries < 40; tries++)); do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ -d "$group" ] || break
            sleep 0.05
        done
    done
    rm -f "$BOX_DIR/console.$$"
}

# ---- inside

box_run() { # COMMAND...
    box_enter "$BOX_INIT" "$@"
}

# First the pid namespace alone; the process made by that joins the control group of the box's PID 1, so that nothing of the box
# runs outside of it; then the other namespaces.
box_enter() { # INIT COMMAND...
    local init=$1 group
    shift
    group=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)$(sed -n 's/^0:://p' "/proc/$init/cgroup")
    nsenter --target "$init" --pid -- /bin/sh -c '{ echo 0 >"$1/cgroup.procs"; } 2>/dev/null; shift; exec "$@"' sh "$group" \
        nsenter --target "$init" --mount --uts --ipc --net --cgroup -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"
}

box_put() { # FILE PATH
    box_run sh -c 'cat >"$1"' sh "$2" <"$1"
}

box_get() { # PATH FILE
    box_run cat -- "$1" >"$2"
}

# ---- for box.py: a box that lives as long as our standard input; each line of it asks for something

box_hold() { # DIR
    local word
    trap box_end EXIT
    trap 'exit 1' TERM INT HUP
    box_boot "$1" || exit 1
    echo "up $BOX_INIT"
    while read -r word; do
        case $word in
        reboot) box_reboot || exit 1; echo "up $BOX_INIT" ;;
        *) exit 2 ;;
        esac
    done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -uo pipefail
    case ${1-} in
    missing | base | hold | keep | enter) "box_$1" "${@:2}" ;;
    *) echo "usage: box.sh missing | base DIR PACKAGE... | hold DIR | enter INIT COMMAND..." >&2; exit 2 ;;
    esac
fi
