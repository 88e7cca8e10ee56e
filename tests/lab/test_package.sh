#!/bin/bash
#
# The Debian package: what is in it, and what an administrator meets who installs, uses, upgrades, downgrades, removes and
# purges it, in a freshly booted Debian. Prints TAP.
#
# usage: test_package.sh SOURCE-DIRECTORY WORK-DIRECTORY [SUITE]
#
# SUITE is bookworm (12) or trixie (13); the package is built on the one that it is tested on.

# Commands in quotes are for the box's own shell; functions are called by ok.
# shellcheck disable=SC2016,SC2317,SC2001
set -uo pipefail
SOURCE=$1
WORK=$2
SUITE=${3-bookworm}
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export BOX_SUITE=$SUITE
# shellcheck source=tests/lab/box.sh
. "$HERE/box.sh"

N=0
FAILED=0
TRY=$(mktemp -d)
# What still runs in the background has its files there.
trap 'box_end; wait; rm -rf -- "$TRY"' EXIT
ok() { # NAME COMMAND...: a case that passes when the command succeeds
    local name=$1 out
    shift
    N=$((N + 1))
    if out=$("$@" 2>&1 </dev/null); then
        echo "ok $N - $name"
    else
        sed 's/^/# /' <<<"$out"
        [ "$FAILED" = 1 ] || [ -z "$BOX_INIT" ] || box_run journalctl -q -n 40 --no-pager -u scribe-gateway -u scribe-ledger 2>&1 | sed 's/^/# /'
        echo "not ok $N - $name"
        FAILED=1
    fi
}
skip() { # NAME REASON
    N=$((N + 1))
    echo "ok $N - $1 # SKIP $2"
}
has() { command -v "$1" >/dev/null; }
end() {
    echo "1..$N"
    exit "$FAILED"
}
skip_rest() { # REASON: this machine cannot do what the remaining cases need
    skip "the package in a booted Debian ($SUITE)" "$*"
    end
}

if ! has dpkg-buildpackage || ! has dh; then skip_rest "no dpkg-buildpackage or debhelper"; fi

# ---- the package as a file

HOST_SUITE=$(sed -n "s/^VERSION_CODENAME=//p" /etc/os-release)
deb() { # [VERSION [CHANGE]]: prints its path
    if [ "$SUITE" = "$HOST_SUITE" ]; then
        "$HERE/build_package.sh" "$SOURCE" "$WORK" "$@"
    else
        SCRIBE_SOURCE=$SOURCE SCRIBE_LAB=$WORK PYTHONPATH=$HERE python3 -c \
            'import box, sys; print(box.package(*sys.argv[1:]))' "$SUITE" "$@"
    fi
}
SCHEMA=$(sed -n 's/^#define SG_SCHEMA_VERSION *//p' "$SOURCE/src/ledger/store.h")
LATER=$((SCHEMA + 1)) # newer_schema.sh has one step more
DEB='' NEWER=''
make_packages() {
    DEB=$(deb) && NEWER=$(deb 0.1.0+schema tests/lab/newer_schema.sh)
}
if [ "$SUITE" != "$HOST_SUITE" ]; then
    missing=$(box_missing)
    [ -z "$missing" ] || skip_rest "$missing"
fi
make_packages 2>"$TRY/make.log" </dev/null
ok "the package is built, and a later version of it" sh -c 'cat "$1"; [ -f "$2" ] && [ -f "$3" ]' sh "$TRY/make.log" "$DEB" "$NEWER"
[ "$FAILED" = 0 ] || end
BUILT=$(dirname -- "$DEB")

copy_sources() { # DIRECTORY
    mkdir -p "$1"
    (cd -- "$SOURCE" && xargs -0 cp --parents -t "$1" <"$WORK/deb.list")
}

# The same sources elsewhere: a longer path, other times, another mask, time zone and language. Made while the rest goes on.
REPRODUCED=$TRY/elsewhere/a-longer-path-than-the-first/scribe-gateway-again
build_again() (
    umask 077
    copy_sources "$REPRODUCED"
    cd -- "$REPRODUCED" || exit 1
    find . -exec touch -h -d "@$(($(dpkg-parsechangelog -S Timestamp) + 100000))" {} +
    umask 027
    env -u SOURCE_DATE_EPOCH TZ=Asia/Kathmandu LC_ALL=C LANG=de_DE.UTF-8 USER=nobody HOME=/nonexistent \
        DEB_BUILD_OPTIONS="nocheck parallel=1" dpkg-buildpackage -us -uc -b
)
AGAIN_PID=
if [ "$SUITE" = "$HOST_SUITE" ]; then
    build_again >"$TRY/again.log" 2>&1 </dev/null &
    AGAIN_PID=$!
fi

dpkg-deb -x "$DEB" "$TRY/files"
program_versions() {
    local program
    for program in scribe-gateway scribe-ledger scribectl; do
        "$TRY/files/usr/bin/$program" --version | grep -qF " $(dpkg-deb -f "$DEB" Version)" || { echo "$program"; return 1; }
    done
}
lint() { # the packages, and where the list of sources is at hand theirs
    local what=("$BUILT"/scribe-gateway_*.changes)
    if [ "$SUITE" = "$HOST_SUITE" ]; then
        copy_sources "$TRY/lint-source/scribe-gateway" && (cd "$TRY/lint-source" && dpkg-source --build scribe-gateway) || return 1
        what+=("$TRY"/lint-source/*.dsc)
    fi
    lintian --pedantic --display-info "${what[@]}" 2>&1 |
        grep -v '^running with root privileges' >"$TRY/lint"
    cat "$TRY/lint"
    [ ! -s "$TRY/lint" ]
}
reasons() { # each override has a line that says why, before it
    awk '/^#/ { why = 1; next } /./ && !why { print; bad = 1 } { why = 0 } END { exit bad }' "$SOURCE/debian/scribe-gateway.lintian-overrides"
}
hardened() { # without control flow protection, which Debian 12's start files of the C library do not have
    local program
    for program in scribe-gateway scribe-ledger scribectl; do
        hardening-check --nocfprotection "$TRY/files/usr/bin/$program" || return 1
    done
}
ok "one package, and one of debugging symbols" sh -c \
    '[ "$(ls "$1" | sed -n "s/_.*\.deb$//p" | sort | paste -sd" ")" = "scribe-gateway scribe-gateway-dbgsym" ]' sh "$BUILT"
ok "its installed size is at most 3 MiB" [ "$(dpkg-deb -f "$DEB" Installed-Size)" -le 3072 ]
ok "its configuration is a conffile" sh -c 'dpkg-deb --ctrl-tarfile "$1" | tar xO ./conffiles | grep -qx /etc/scribe-gateway/gateway.conf' sh "$DEB"
ok "and so is its table of prices" sh -c 'dpkg-deb --ctrl-tarfile "$1" | tar xO ./conffiles | grep -qx /etc/scribe-gateway/prices.d/10-starter.conf' sh "$DEB"
if [ "$SUITE" = "$HOST_SUITE" ]; then ok "the programs have its version" program_versions; fi
if has lintian; then ok "lintian has nothing to say" lint; else skip "lintian has nothing to say" "no lintian"; fi
ok "and what it was told not to say has a reason" reasons
if has blhc; then ok "every file was compiled hardened" blhc --all "$BUILT/log"; else skip "every file was compiled hardened" "no blhc"; fi
if has hardening-check; then ok "so are the programs" hardened; else skip "so are the programs" "no hardening-check (devscripts)"; fi

# ---- the box

missing=$(box_missing)
[ -z "$missing" ] || skip_rest "$missing"
# What it depends on goes into the base, so that installing needs no network. Version bounds are apt's business, not ours.
depends=$(dpkg-deb -f "$DEB" Pre-Depends Depends | sed 's/^[A-Za-z-]*: //' | tr ',' '\n' | sed 's/|.*//; s/([^)]*)//; s/ //g' | sort -u)
BASE=$WORK/package-base-$SUITE
# shellcheck disable=SC2086
box_base "$BASE" $depends jq sqlite3 autopkgtest dpkg-dev dpkg-repack fakeroot >&2 || skip_rest "the base could not be built"
box_boot "$BASE" || skip_rest "a plain Debian does not boot here"

purge_by_piuparts() (
    mirror=$(awk -v suite="$SUITE" '$3 == suite { print $2, "main"; exit }' "$BASE/sources")
    # The one path is debconf's own, made by apt for any package.
    exec unshare --mount timeout 300 piuparts --existing-chroot="$BASE/root" -d "$SUITE" --mirror "$mirror" \
        --ignore /var/cache/debconf/tmp.ci/ "$DEB"
)
PIUPARTS_PID=
if has piuparts && [ "$SUITE" = "$HOST_SUITE" ]; then
    purge_by_piuparts >"$TRY/piuparts.log" 2>&1 </dev/null &
    PIUPARTS_PID=$!
fi

URL=http://127.0.0.1:8000
wait_in_box() { # COMMAND: until it succeeds, ten seconds at most
    box_run timeout 10 sh -c "until $1; do sleep 0.05; done"
}
in_box() { # COMMAND: by a shell inside
    box_run sh -c "$1"
}
apt_in_box() { # ARGUMENT...: what it says goes to /root/apt.out
    box_run sh -c 'DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" >/root/apt.out 2>&1
        status=$?; cat /root/apt.out; exit $status' sh "$@"
}
apt_said() { # WORDS
    box_run grep -qF -- "$1" /root/apt.out || { box_run cat /root/apt.out; return 1; }
}
field() { # NAME=VALUE: the journal has a line of the gateway with this field
    wait_in_box "journalctl -q -u scribe-gateway -o json --no-pager $1 | grep -q ."
}
chat() { # prints the answer
    in_box "curl -sS -m 10 -D /root/head -H \"Authorization: Bearer \$(cat /root/key)\" \
        -d '{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"hello box\"}]}' $URL/v1/chat/completions"
}
says_hello() { chat | grep -q 'hello box'; }
main_pid() { box_run systemctl show -P MainPID scribe-gateway; }
all_files() { # what is there, but for what any use of the machine leaves
    in_box "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -path '/tmp*' ! -path '/root*' ! -path '/var/log*' \
        ! -path '/var/cache*' ! -path '/var/lib/apt*' ! -path '/var/lib/dpkg*' ! -path '/var/lib/systemd/catalog*' ! -path '/var/tmp/*' \
        ! -path '/etc/*-' ! -path '/var/lib/systemd/timers*' ! -path '/etc/.pwd.lock' ; find /run -path '*scribe*'" | sort
}

# ---- from the first command to the first answer: the block in the README, word for word

readme_block() {
    awk '/^## Install it/ { here = 1 } here && /^```/ { n++; next } here && n == 1 { print } n == 2 { exit }' "$SOURCE/README.md"
}
in_box 'while systemctl list-jobs --no-legend | grep -q .; do sleep 0.1; done'
all_files >"$TRY/before"
box_put "$DEB" "/root/$(basename -- "$DEB")"
box_put "$NEWER" /root/newer.deb
readme_block >"$TRY/readme"
{ echo 'set -e; cd /root'; cat "$TRY/readme"; echo 'echo; printf %s "$KEY" >/root/key'; } >"$TRY/readme.sh"
box_put "$TRY/readme.sh" /root/readme.sh
readme() {
    box_run bash /root/readme.sh | tee "$TRY/answer" && grep -q '"content":"Hello from a fresh machine"' "$TRY/answer"
}
ok "the README installs it" grep -q '^apt install \./scribe-gateway_\*\.deb$' "$TRY/readme"
ok "and its commands work word for word, without the network" readme
ok "the ledger runs" box_run systemctl is-active scribe-ledger
ok "so does the target" box_run systemctl is-active scribe-gateway.target
ok "sockets for clients and control are enabled and listen" in_box \
    'for s in http control; do systemctl is-enabled scribe-gateway-$s.socket && systemctl is-active scribe-gateway-$s.socket || exit 1; done'
ok "the others are there, but neither" in_box \
    'for s in https grpc metrics; do systemctl cat scribe-gateway-$s.socket >/dev/null &&
        ! systemctl -q is-enabled scribe-gateway-$s.socket && ! systemctl -q is-active scribe-gateway-$s.socket || exit 1; done'
ok "what happens is explained (journalctl -x)" in_box \
    'journalctl -q -x --no-pager -u scribe-gateway MESSAGE_ID=e26aeae7cac742d196a1ddbc48313446 | grep -q "^░░ ."'
ok "no unit has failed" in_box '! systemctl --failed --plain --no-legend | grep scribe'
ok "systemd has nothing against the units" in_box \
    '! systemd-analyze verify --man=no /usr/lib/systemd/system/scribe* 2>&1 | grep -E "scribe"'
ok "it runs as a user of its own" in_box '[ "$(ps -o user= -p "$(systemctl show -P MainPID scribe-gateway)")" = scribe-gateway ]'
ok "nobody else reads its state" in_box '[ "$(stat -c "%U %a" /var/lib/scribe-gateway)" = "scribe-gateway 750" ]'
ok "the chat was metered" wait_in_box "scribectl usage --by key --json | jq -e '.rows[] | select(.group == \"alice\" and .output_tokens > 0)' >/dev/null"
ok "status shows the service" box_run scribectl status
ok "the journal has the key as a field" field SCRIBE_KEY=alice
ok "and the status" field SCRIBE_STATUS=200
says_hello >"$TRY/out" 2>&1
ok "and the request" in_box \
    'journalctl -q -u scribe-gateway -o json "SCRIBE_REQUEST=$(tr -d "\r" </root/head | sed -n "s/^x-request-id: *//Ip")" | grep -q .'
ok "but not the key's secret" in_box '! journalctl -q -o export | grep -qF "$(cat /root/key)"'
before=$(main_pid)
ok "systemctl reload" in_box \
    'printf "[model \"box\"]\ntarget = echo\n[provider \"slow\"]\ndialect = echo\npace = 700ms\n[model \"slow\"]\ntarget = slow\n" \
        >/etc/scribe-gateway/gateway.conf.d/box.conf && systemctl reload scribe-gateway'
ok "brings the new model" wait_in_box "curl -sf -m 5 -H \"Authorization: Bearer \$(cat /root/key)\" $URL/v1/models/box | grep -q box"
ok "in the same process" [ "$(main_pid)" = "$before" ]
ok "a broken configuration is found by scribectl" in_box \
    'printf "[gateway]\nworkrs = 1\n" >/etc/scribe-gateway/gateway.conf.d/zz.conf; ! scribectl config check >/root/check 2>&1 && grep -q "zz.conf:2" /root/check'
ok "and does not stop the service" in_box 'systemctl reload scribe-gateway; rm /etc/scribe-gateway/gateway.conf.d/zz.conf; systemctl is-active scribe-gateway'
ok "the ledger may be restarted under it" box_run systemctl restart scribe-ledger
ok "and chats go on" says_hello
ok "systemctl restart" box_run systemctl restart scribe-gateway
ok "keys are still known" says_hello

# ---- an upgrade: a later version with a step of the schema, a changed unit and a changed configuration

ok "the configuration is changed" in_box 'echo "# ours" >>/etc/scribe-gateway/gateway.conf'
before=$(main_pid)
# A stream of 24 words, 0.7 s each, is open all the while.
in_box "curl -sN -m 60 -H \"Authorization: Bearer \$(cat /root/key)\" -d '{\"model\":\"slow\",\"stream\":true,\"messages\":[{\"role\":\"user\",
    \"content\":\"a b c d e f g h i j k l m n o p q r s t u v w x\"}]}' $URL/v1/chat/completions >/root/stream" </dev/null >/dev/null 2>&1 &
STREAM=$!
ok "a stream is open" wait_in_box 'grep -q "\"content\":\"b" /root/stream'
ok "an upgrade under it" apt_in_box install /root/newer.deb
ok "did not wait for its end" in_box '! grep -q DONE /root/stream'
ok "another process serves" [ "$(main_pid)" != "$before" ]
ok "of the later version" in_box 'scribectl status --json | jq -e ".version == \"0.1.0+schema\"" >/dev/null || { scribectl status --json; false; }'
ok "systemd restarted nothing" in_box '[ "$(systemctl show -P NRestarts scribe-gateway)" = 0 ] && systemctl is-active scribe-gateway'
wait "$STREAM"
ok "the stream has come to its own end" in_box 'grep -q "\"content\":\"x" /root/stream && grep -q "\[DONE\]" /root/stream || { tail -n 5 /root/stream; false; }'
ok "the changed configuration is kept" in_box 'tail -n 1 /etc/scribe-gateway/gateway.conf | grep -qx "# ours" && [ -e /etc/scribe-gateway/gateway.conf.dpkg-dist ]'
ok "changed units are told to need a restart" apt_said "scribe-gateway.service has changed: its settings take effect with the next 'systemctl restart scribe-gateway'"
ok "so are changed sockets" apt_said "changed: scribe-gateway-http.socket: takes effect with the next 'systemctl restart scribe-gateway.target'"
ok "the database was migrated" in_box '[ "$(sqlite3 /var/lib/scribe-gateway/ledger.db "PRAGMA user_version")" = '"$LATER ]"
ok "and backed up before" in_box \
    'backup=/var/lib/scribe-gateway/ledger.db.before-'"$LATER"'
     [ "$(stat -c "%U %a" "$backup")" = "scribe-gateway 600" ] &&
     [ "$(sqlite3 -readonly "$backup" "PRAGMA user_version; SELECT count(*) FROM api_key WHERE name = \"alice\"" | paste -sd" ")" = "'"$SCHEMA"' 1" ]'
ok "keys are still known" says_hello
ok "systemctl restart makes the new settings take effect" in_box \
    'systemctl restart scribe-gateway && [ "$(systemctl show -P TimeoutStopUSec scribe-gateway)" = "2min 1s" ]'

# ---- what an upgrade must not do

before=$(main_pid)
in_box 'printf "[gateway]\nworkrs = 1\n" >/etc/scribe-gateway/gateway.conf.d/zz.conf'
ok "an upgrade with a broken configuration does not fail" apt_in_box install --reinstall /root/newer.deb
ok "it says what to do" apt_said "the old process keeps serving. To change over: systemctl restart scribe-gateway"
ok "and the old process serves" [ "$(main_pid)" = "$before" ]
ok "the old ledger was not ended for one that would not start" box_run systemctl is-active scribe-ledger
ok "which is said, too" apt_said "the ledger is left as it was, since the new one would not start."
ok "chats go on" says_hello
ok "unchanged units are not spoken of" in_box '! grep -q "take effect" /root/apt.out'
in_box 'rm /etc/scribe-gateway/gateway.conf.d/zz.conf; systemctl restart scribe-ledger'
ok "what the administrator stopped" box_run systemctl stop scribe-gateway-http.socket scribe-gateway-control.socket scribe-gateway.service scribe-ledger.service
ok "an upgrade does not start" apt_in_box install --reinstall /root/newer.deb
ok "neither the gateway nor the ledger" in_box \
    '! systemctl is-active scribe-gateway.service scribe-ledger.service scribe-gateway-http.socket | grep -qx active'
ok "scribe-gateway.target starts all of it" in_box 'systemctl restart scribe-gateway.target'
ok "and it serves" says_hello
if has ss; then
    ok "from the changed socket" sh -c '[ "$(nsenter --target "$1" --net ss -Hltn "sport = :8000" | awk "{ print \$3 }")" = 4095 ]' sh "$BOX_INIT"
else
    skip "from the changed socket" "no ss (iproute2)"
fi

# ---- back again

FIRST=/root/$(basename -- "$DEB")
downgrade() { apt_in_box install --allow-downgrades "$FIRST"; }
refused() { ! downgrade; }
before=$(main_pid)
ok "a downgrade past the migration is refused" refused
ok "with what it knows and what is there" apt_said "/var/lib/scribe-gateway/ledger.db has schema version $LATER, this version knows versions up to $SCHEMA."
ok "and the backup to restore" apt_said "cp -p /var/lib/scribe-gateway/ledger.db.before-$LATER /var/lib/scribe-gateway/ledger.db"
ok "the later version is still installed" in_box '[ "$(dpkg-query -W -f "\${Status} \${Version}" scribe-gateway)" = "install ok installed 0.1.0+schema" ]'
ok "and serves in the same process" [ "$(main_pid)" = "$before" ]
ok "the commands that it names" in_box 'grep "^    " /root/apt.out >/root/restore && [ "$(wc -l </root/restore)" = 4 ] && sh -ex /root/restore'
ok "make the downgrade possible" downgrade
ok "the older ledger runs" box_run systemctl is-active scribe-ledger
ok "and keys from before the upgrade are known" says_hello

# ---- removal

ok "apt removes it" apt_in_box remove scribe-gateway
ok "nothing of it runs" in_box '! pgrep -u scribe-gateway && ! systemctl list-units --state=active --plain --no-legend "scribe*" | grep .'
ok "nothing listens" in_box "! curl -s -m 5 -o /dev/null $URL/health"
ok "configuration and keys stay" in_box '[ -e /etc/scribe-gateway/gateway.conf ] && [ -e /var/lib/scribe-gateway/ledger.db ]'
ok "installed again" apt_in_box install "$FIRST"
ok "it runs" wait_in_box "curl -sf -m 5 -o /dev/null $URL/ready"
ok "and knows its keys" says_hello
in_box 'mkdir -p /etc/systemd/system/scribe-gateway.service.d && printf "[Service]\nNice=1\n" >/etc/systemd/system/scribe-gateway.service.d/ours.conf
    mkdir -p /etc/credstore.encrypted/scribe-gateway && echo sealed >/etc/credstore.encrypted/scribe-gateway/ours.cred'
ok "apt purges it" apt_in_box purge scribe-gateway
ok "and names what the administrator made" apt_said "not removed: /etc/systemd/system/scribe-gateway.service.d"
ok "credentials among it" apt_said "not removed: /etc/credstore.encrypted/scribe-gateway"
cat >"$TRY/ours" <<END
/etc/credstore.encrypted
/etc/credstore.encrypted/scribe-gateway
/etc/credstore.encrypted/scribe-gateway/ours.cred
/etc/scribe-gateway
/etc/scribe-gateway/gateway.conf.d
/etc/scribe-gateway/gateway.conf.d/box.conf
/etc/systemd/system/scribe-gateway.service.d
/etc/systemd/system/scribe-gateway.service.d/ours.conf
END
leaves_nothing() {
    all_files >"$TRY/after"
    diff <(sort -u "$TRY/before" "$TRY/ours") "$TRY/after"
}
ok "nothing else is left of it" leaves_nothing
ok "but the user, whose number nobody else is to get" box_run getent passwd scribe-gateway
in_box 'rm -r /etc/scribe-gateway /etc/systemd/system/scribe-gateway.service.d /etc/credstore.encrypted/scribe-gateway; systemctl daemon-reload; systemctl reset-failed' 2>/dev/null

# ---- Debian's own testers

autopkgtests() {
    box_run mkdir -p /root/source
    tar -C "$SOURCE" -c debian README.md | box_run tar -C /root/source -x
    box_run timeout 300 autopkgtest --ignore-restrictions=isolation-container --no-built-binaries "$FIRST" /root/source/ -- null
}
ok "autopkgtest passes" autopkgtests
box_end

purged() { wait "$PIUPARTS_PID" || { tail -n 30 "$TRY/piuparts.log"; return 1; }; }
if [ -n "$PIUPARTS_PID" ]; then
    ok "piuparts installs and purges it" purged
else
    skip "piuparts installs and purges it" "no piuparts for $SUITE"
fi

same_again() {
    wait "$AGAIN_PID" || { tail -n 25 "$TRY/again.log"; return 1; }
    local file
    for file in "$BUILT"/*.deb; do
        cmp "$file" "$(dirname -- "$REPRODUCED")/$(basename -- "$file")" || return 1
    done
}
if [ -n "$AGAIN_PID" ]; then ok "built elsewhere, later and by another, it is the same to the bit" same_again; fi
end
