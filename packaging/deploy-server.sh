# shellcheck shell=bash
#
# packaging/deploy-server.sh - what packaging/deploy runs on a server, sent there with every call
#
# Plain bash and what a Debian with systemd has, run as root. In front of it come these values, behind it the name of the function
# to be run: facts (as any user), stage, wait_for, apply.
#
#   KEEP     directory for what stays: the packages to go back to, log, lock    STAGE    where things were copied to
#   NAME     what the server is called in lines                                 WANTED   services to renew and check
#   VERSION  of the package in STAGE, SUM its SHA-256; empty without one        WAIT_FOR HOST:PORT... to wait for
#   HAS_CONFIG  not empty when STAGE has a configuration                        *_LIMIT  seconds
: "${KEEP:?}" "${NAME:?}" "${WANTED:?}" "${HEALTH_URL:?}" "${HEALTH_LIMIT:?}" "${WAIT_LIMIT:?}"

say() { # STEP TEXT: to who has asked, and to the log that stays
    local line
    line="$(date +%H:%M:%S) $NAME $1: $2"
    echo "$line" || true
    echo "$(date +%F) $line" >>"$KEEP/log" || true
}

facts() {
    local sudo=none
    if [ "$(id -u)" = 0 ]; then sudo=root; elif sudo -n true 2>/dev/null; then sudo=sudo; fi
    echo "sudo $sudo"
    echo "user $(id -un)"
    echo "architecture $(dpkg --print-architecture 2>/dev/null || echo none)"
    echo "systemd $([ -d /run/systemd/system ] && echo yes || echo no)"
    echo "curl $(command -v curl >/dev/null && echo yes || echo no)"
    echo "installed $(version)"
    echo "system $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release 2>/dev/null)"
}

version() { # what is installed and configured; nothing when nothing is
    dpkg-query -W -f '${db:Status-Status} ${Version}' scribe-gateway 2>/dev/null | sed -n 's/^installed //p' || true
}

stage() { # prints a directory of its own for what is copied
    umask 077
    mkdir -p "$KEEP/packages" && find "$KEEP" -maxdepth 1 -name 'stage.*' -mmin +1440 -exec rm -rf {} + && mktemp -d "$KEEP/stage.XXXXXX"
}

wait_for() {
    local deadline=$((SECONDS + WAIT_LIMIT)) address
    for address in $WAIT_FOR; do
        # shellcheck disable=SC2016
        until timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' sh "${address%:*}" "${address##*:}" 2>/dev/null; do
            if [ "$SECONDS" -ge "$deadline" ]; then
                say wait "$address does not answer, waited $WAIT_LIMIT s"
                return 1
            fi
            sleep 0.5
        done
        say wait "$address answers"
    done
}

unit() { echo "scribe-$1.service"; }
program() { echo "/usr/bin/scribe-$1"; }

kept() { # prints the file of the installed package, if there is one to go back to
    local version=$1 file
    file=$(readlink -f "$KEEP/installed" 2>/dev/null || true)
    for file in "$file" "/var/cache/apt/archives/scribe-gateway_${version//:/%3a}_$(dpkg --print-architecture).deb"; do
        if [ -f "$file" ] && [ "$(dpkg-deb -f "$file" Version 2>/dev/null)" = "$version" ]; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

merge() { # the configuration as it will be: the server's, then what only the package has, ours over both; sets IS_CHANGED
    local file
    IS_CHANGED=false
    [ ! -e "$STAGE/package.deb" ] || dpkg-deb -x "$STAGE/package.deb" "$STAGE/root" || return 1
    mkdir "$STAGE/merged" && chmod 0755 "$STAGE/merged"
    [ ! -d /etc/scribe-gateway ] || cp -a /etc/scribe-gateway/. "$STAGE/merged/"
    [ ! -d "$STAGE/root/etc/scribe-gateway" ] || cp -an "$STAGE/root/etc/scribe-gateway/." "$STAGE/merged/"
    [ -n "$HAS_CONFIG" ] || return 0
    while IFS= read -r -d '' file; do
        cmp -s "$STAGE/config/$file" "$STAGE/merged/$file" || {
            IS_CHANGED=true
            printf '%s\0' "$file" >>"$STAGE/changed"
        }
    done < <(cd "$STAGE/config" && find . -type f -printf '%P\0')
    cp -r --preserve=mode "$STAGE/config/." "$STAGE/merged/"
    let_read "$STAGE/merged"
}

let_read() { # DIR: what not everybody may read holds secrets; the service reads it by its group
    getent group scribe-gateway >/dev/null || return 0
    find "$1" -type f ! -perm -o=r -group root -exec chgrp scribe-gateway {} + -exec chmod g+r {} +
}

credentials() { # DIR: what systemd would hand to the gateway if it were started now
    local line kind name file
    mkdir -p "$1"
    cp /run/credentials/scribe-gateway.service/* "$1/" 2>/dev/null || true
    systemctl cat scribe-gateway.service 2>/dev/null | sed -n 's/^LoadCredential\(Encrypted\)\{0,1\}=/\1 /p' |
        while IFS= read -r line; do
            kind=${line%% *} line=${line#* }
            name=${line%%:*} file=${line#*:}
            case $kind in
            '') cp "$file" "$1/$name" ;;
            *) systemd-creds decrypt --name="$name" "$file" "$1/$name" ;;
            esac 2>/dev/null </dev/null || true
        done
}

# The new program reads the merged configuration in the place where it will be, with the credentials of the unit and as its user,
# but with directories of its own: nothing that runs is touched.
check() {
    local bin=$STAGE/root/usr/bin words
    if [ ! -e "$STAGE/merged/gateway.conf" ] && [ -z "$HAS_CONFIG" ]; then return 0; fi
    if [ ! -x "$bin/scribe-gateway" ]; then bin=/usr/bin; fi
    if ! "$bin/scribe-gateway" --version >/dev/null 2>&1; then bin=/usr/bin; fi
    if ! "$bin/scribe-gateway" --version >/dev/null 2>&1; then
        say check "put off: the libraries of the program come with the package"
        return 0
    fi
    words=$(
        export BIN=$bin STAGE
        unshare --mount --propagation private bash -s 2>&1 <<'CHECK'
set -e
as=() config=/etc/scribe-gateway made=()
mkdir -p "$STAGE/credentials"
if id scribe-gateway >/dev/null 2>&1; then
    as=(setpriv --reuid=scribe-gateway --regid=scribe-gateway --init-groups)
    chown -R scribe-gateway: "$STAGE/credentials"
    own=uid=$(id -u scribe-gateway),gid=$(id -g scribe-gateway),
fi
for dir in /var/lib/scribe-gateway /run/scribe-gateway; do
    [ -d "$dir" ] || { mkdir -p "$dir" && made+=("$dir"); }
    mount -t tmpfs -o "${own-}mode=0750" check "$dir"
done
mount --bind "$BIN" /mnt
if [ -d "$config" ]; then mount --bind "$STAGE/merged" "$config"; else config=$STAGE/merged; fi
mount --bind "$STAGE/credentials" /media
status=0
CREDENTIALS_DIRECTORY=/media "${as[@]}" /mnt/scribe-gateway --check --config "$config" </dev/null || status=$?
for dir in "${made[@]}"; do umount "$dir" && rmdir "$dir"; done
exit "$status"
CHECK
    ) || {
        say check "the configuration is refused: $words"
        return 1
    }
    say check "$words"
}

back_up() { # what a way back needs; sets BEFORE and BEFORE_FILE
    BEFORE=$(version)
    BEFORE_FILE=
    if [ -n "$BEFORE" ] && [ -e "$STAGE/package.deb" ] && ! BEFORE_FILE=$(kept "$BEFORE"); then
        if [ "$MUST_ROLL_BACK" = true ]; then
            say backup "the package of the installed version $BEFORE is not here, so there would be no way back: put it \
into /var/cache/apt/archives of the server, or go on with --no-rollback"
            return 1
        fi
        say backup "without a way back: the package of the installed version $BEFORE is not here"
    fi
    [ ! -d /etc/scribe-gateway ] || tar -C /etc/scribe-gateway -cf "$STAGE/before.tar" . || return 1
}

take() { # our files over the server's, each whole
    local file
    [ -n "$HAS_CONFIG" ] || return 0
    if [ "$IS_CHANGED" = false ]; then
        say configuration "is there already"
        return 0
    fi
    while IFS= read -r -d '' file; do
        mkdir -p "/etc/scribe-gateway/$(dirname "$file")" && cp -a "$STAGE/merged/$file" "/etc/scribe-gateway/$file.new" &&
            mv -f "/etc/scribe-gateway/$file.new" "/etc/scribe-gateway/$file" || return 1
    done <"$STAGE/changed"
    say configuration "taken: $(tr '\0' ' ' <"$STAGE/changed")"
}

apt_get() { # ARGUMENT...
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" >"$STAGE/apt" 2>&1 </dev/null || {
        say apt "failed: $(grep -E '^(E|dpkg|Err):?' "$STAGE/apt" | tail -n 3 | paste -sd' ')"
        return 1
    }
}

install_package() {
    local options=(--allow-downgrades)
    [ -e "$STAGE/package.deb" ] || return 0
    if [ "$BEFORE" = "$VERSION" ]; then
        if [ -n "$BEFORE_FILE" ] && cmp -s "$BEFORE_FILE" "$STAGE/package.deb"; then
            say install "scribe-gateway $VERSION is there already"
            return 0
        fi
        options+=(--reinstall)
    fi
    [ -n "$BEFORE" ] || options+=(-o Dpkg::Options::=--force-confmiss)
    apt_get install "${options[@]}" "$STAGE/package.deb" || return 1
    [ "$IS_CHANGED" = false ] || let_read /etc/scribe-gateway
    say install "scribe-gateway ${BEFORE:+$BEFORE -> }$VERSION"
}

reload() { # the gateway, with its new configuration
    local words
    if words=$(scribectl reload 2>&1 </dev/null) && ! grep -q 'needs a restart' <<<"$words"; then
        say gateway "reloaded"
        return 0
    fi
    say gateway "restarted, a reload was not enough: $(paste -sd' ' <<<"$words")"
    systemctl restart scribe-gateway.service </dev/null
}

# What runs is what is installed, with the configuration that is there. A gateway of before hands its sockets over; one that
# cannot leaves the old one serving.
renew() { # SERVICE IS-CHANGED
    local unit words pid
    unit=$(unit "$1")
    pid=$(systemctl show -P MainPID "$unit")
    if ! systemctl is-active -q "$unit"; then
        systemctl reset-failed "$unit" 2>/dev/null || true
        systemctl start "$unit" </dev/null 2>"$STAGE/start" || {
            say "$1" "does not start: $(head -n 1 "$STAGE/start")"
            return 1
        }
        say "$1" "started"
    elif [ ! "/proc/$pid/exe" -ef "$(program "$1")" ]; then
        if [ "$1" != gateway ]; then
            systemctl restart "$unit" </dev/null || return 1
            say "$1" "restarted with the new program"
        elif words=$(scribectl upgrade 2>&1 </dev/null); then
            say "$1" "handed over to the new program"
        else
            say "$1" "the new program does not take over: $(paste -sd' ' <<<"$words")"
            return 1
        fi
    elif [ "$2" = true ]; then
        if [ "$1" = gateway ]; then reload; else systemctl restart "$unit" </dev/null && say "$1" "restarted"; fi
    fi
}

ill() { # prints what is wrong; nothing when all is well
    local service unit code
    for service in $WANTED; do
        unit=$(unit "$service")
        systemctl is-active -q "$unit" || { echo "$unit is $(systemctl is-active "$unit")"; return; }
        [ "/proc/$(systemctl show -P MainPID "$unit")/exe" -ef "$(program "$service")" ] ||
            { echo "$unit runs another program than the installed one"; return; }
        [ "$service" = gateway ] || continue
        code=$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$HEALTH_URL/ready" </dev/null) || true
        [ "$code" = 200 ] || { echo "$HEALTH_URL/ready answers ${code/000/nothing}"; return; }
        timeout 10 scribectl status >/dev/null 2>&1 </dev/null || { echo "scribectl status fails"; return; }
    done
}

healthy() { # well three times in a row, in the same processes
    local deadline=$((SECONDS + HEALTH_LIMIT)) good=0 pids="" now ill unit
    while :; do
        ill=$(ill)
        now=
        for unit in $WANTED; do now+=" $(systemctl show -P MainPID "$(unit "$unit")")"; done
        if [ -n "$ill" ]; then good=0; elif [ "$now" = "$pids" ]; then good=$((good + 1)); else good=1; fi
        pids=$now
        [ "$good" -lt 3 ] || break
        # One that systemd does not try again will not get well by waiting.
        case $ill in *"is failed") break ;; esac
        [ "$SECONDS" -lt "$deadline" ] || break
        sleep 0.5
    done
    if [ "$good" -lt 3 ]; then
        say health "${ill:-its processes change all the time}"
        return 1
    fi
    say health "well: $WANTED active${HEALTH_URL:+, $HEALTH_URL/ready}"
}

explain() { # the last words of the services
    local service
    for service in $WANTED; do
        journalctl -q -n 5 --no-pager -o cat -p warning -u "$(unit "$service")" --since "@$STARTED" 2>/dev/null |
            while IFS= read -r line; do say journal "$service: $line"; done
    done
}

settle() { # services on what is installed now
    local service
    for service in $WANTED; do renew "$service" "$1" || return 1; done
    healthy
}

restore() { # package and configuration of before
    local now
    now=$(version)
    if [ -e "$STAGE/package.deb" ] && [ -z "$BEFORE" ]; then
        apt_get remove scribe-gateway || return 1
        say rollback "scribe-gateway is removed again, there was none before"
    elif [ -n "$BEFORE_FILE" ] && { [ "$now" != "$BEFORE" ] || ! cmp -s "$BEFORE_FILE" "$STAGE/package.deb"; }; then
        apt_get install --allow-downgrades --reinstall "$BEFORE_FILE" || return 1
        say rollback "scribe-gateway $BEFORE is installed again"
    fi
}

roll_back() {
    explain
    # First the configuration: the program of before is started by its package, and reads it.
    if [ "$IS_CHANGED" = true ]; then
        (cd /etc/scribe-gateway && xargs -0 rm -f -- <"$STAGE/changed")
        [ ! -e "$STAGE/before.tar" ] || tar -C /etc/scribe-gateway -xpf "$STAGE/before.tar" ||
            { say rollback "the configuration of before could not be put back"; return 1; }
        say rollback "the configuration of before is back"
    fi
    restore || return 1
    [ -n "$BEFORE" ] || return 0
    settle "$IS_CHANGED"
}

apply() { # exit status: 0 done, 1 nothing was changed, 3 the state of before is back, 4 it is not
    trap '' HUP PIPE
    trap 'rm -rf "$STAGE"' EXIT
    exec 9>"$KEEP/lock"
    flock -n 9 || { say begin "another deployment is at work here"; exit 1; }
    STARTED=$(date +%s) IS_CHANGED=false BEFORE="" BEFORE_FILE=""
    merge || exit 1
    credentials "$STAGE/credentials"
    check || exit 1
    if [ -n "$VERSION" ] && [ "$MAY_DOWNGRADE" != true ] && dpkg --compare-versions "$VERSION" lt "$(version)"; then
        say install "version $VERSION is older than the installed $(version); --allow-downgrade takes it nevertheless"
        exit 1
    fi
    back_up || exit 1
    if take && install_package && settle "$IS_CHANGED"; then
        if [ -e "$STAGE/package.deb" ]; then
            [ -e "$KEEP/packages/$SUM.deb" ] || mv "$STAGE/package.deb" "$KEEP/packages/$SUM.deb"
            ln -sfn "packages/$SUM.deb" "$KEEP/installed"
            find "$KEEP/packages" -type f ! -name "$SUM.deb" ! -samefile "${BEFORE_FILE:-/}" -delete
        fi
        exit 0
    fi
    roll_back || { say rollback "failed: the server needs a look (systemctl status scribe-gateway)"; exit 4; }
    exit 3
}
