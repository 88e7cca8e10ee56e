#!/bin/bash
#
# Builds the .deb, installs it in a freshly booted Debian 12 and uses it as an administrator would. Prints TAP.
#
# usage: test_package.sh SOURCE-DIRECTORY WORK-DIRECTORY

# Commands in quotes are for the box's own shell; functions are called by ok.
# shellcheck disable=SC2016,SC2317,SC2001
set -uo pipefail
SOURCE=$1
WORK=$2
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lab/box.sh
. "$HERE/box.sh"

N=0
FAILED=0
ok() { # NAME COMMAND...: a case that passes when the command succeeds
    local name=$1 out
    shift
    N=$((N + 1))
    if out=$("$@" 2>&1); then
        echo "ok $N - $name"
    else
        sed 's/^/# /' <<<"$out"
        [ "$FAILED" = 1 ] || [ -z "$BOX_INIT" ] || box_run journalctl -q -n 40 --no-pager -u scribe-gateway -u scribe-ledger 2>&1 | sed 's/^/# /'
        echo "not ok $N - $name"
        FAILED=1
    fi
}
skip_rest() { # REASON: this machine cannot do what the remaining cases need
    N=$((N + 1))
    echo "ok $N - the package in a booted Debian # SKIP $*"
    echo "1..$N"
    exit "$FAILED"
}

if ! command -v dpkg-buildpackage >/dev/null || ! command -v dh >/dev/null; then skip_rest "no dpkg-buildpackage or debhelper"; fi

# ---- the package

mkdir -p "$WORK/deb"
rm -rf "$WORK/deb/source"
mkdir "$WORK/deb/source"
(cd "$SOURCE" && { git ls-files -z 2>/dev/null || find . -type f -print0; }) | (cd "$SOURCE" && xargs -0 cp --parents -t "$WORK/deb/source")
build_package() {
    (cd "$WORK/deb/source" && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b) >"$WORK/deb/log" 2>&1 ||
        { tail -n 25 "$WORK/deb/log" | cut -c1-300; return 1; }
}
ok "dpkg-buildpackage makes a package" build_package
[ "$FAILED" = 0 ] || { echo "1..$N"; exit 1; }
DEB=$(find "$WORK/deb" -maxdepth 1 -name 'scribe-gateway_*.deb' | sort | tail -n 1)

missing=$(box_missing)
[ -z "$missing" ] || skip_rest "$missing"
# What it depends on goes into the base, so that installing needs no network. Version bounds are apt's business, not ours.
depends=$(dpkg-deb -f "$DEB" Pre-Depends Depends | sed 's/^[A-Za-z-]*: //' | tr ',' '\n' | sed 's/|.*//; s/([^)]*)//; s/ //g' | sort -u)
# shellcheck disable=SC2086
box_base "$WORK/base" $depends jq >&2 || skip_rest "the base could not be built"
trap box_end EXIT
box_boot "$WORK/base" || skip_rest "a plain Debian does not boot here"

# ---- as an administrator

URL=http://127.0.0.1:8000
wait_in_box() { # COMMAND: until it succeeds, ten seconds at most
    box_run timeout 10 sh -c "until $1; do sleep 0.05; done"
}
field() { # NAME=VALUE: the journal has a line of the gateway with this field
    wait_in_box "journalctl -q -u scribe-gateway -o json --no-pager $1 | grep -q ."
}
chat() { # prints the answer
    box_run sh -c "curl -sS -m 10 -D /root/head -H \"Authorization: Bearer \$(cat /root/key)\" \
        -d '{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"hello box\"}]}' $URL/v1/chat/completions"
}
says_hello() { chat | grep -q 'hello box'; }
main_pid() { box_run systemctl show -P MainPID scribe-gateway; }

box_put "$DEB" /root/scribe-gateway.deb
ok "apt installs it, without the network" box_run env DEBIAN_FRONTEND=noninteractive apt-get -q -y install /root/scribe-gateway.deb
ok "systemctl start" box_run systemctl start scribe-gateway
ok "it is active" box_run systemctl is-active scribe-gateway
ok "so is the ledger" box_run systemctl is-active scribe-ledger
ok "no unit has failed" box_run sh -c '! systemctl --failed --plain --no-legend | grep scribe'
ok "systemd has nothing against the units" box_run sh -c \
    '! systemd-analyze verify scribe-gateway.service scribe-ledger.service 2>&1 | grep -E "scribe-(gateway|ledger)"'
ok "it runs as a user of its own" box_run sh -c '[ "$(ps -o user= -p "$(systemctl show -P MainPID scribe-gateway)")" != root ]'
ok "it is ready" wait_in_box "curl -sf -m 5 -o /dev/null $URL/ready"
ok "a key is created" box_run sh -c 'scribectl key create alice --json | jq -r .secret >/root/key && grep -q "^sk-" /root/key'
ok "a first chat is answered" wait_in_box "curl -sf -m 5 -o /dev/null -H \"Authorization: Bearer \$(cat /root/key)\" $URL/v1/models"
ok "by what was asked" says_hello
ok "and metered" wait_in_box "scribectl usage --by key --json | jq -e '.rows[] | select(.group == \"alice\" and .output_tokens > 0)' >/dev/null"
ok "status shows the service" box_run scribectl status
ok "the journal has the key as a field" field SCRIBE_KEY=alice
ok "and the status" field SCRIBE_STATUS=200
ok "and the request" box_run sh -c \
    'journalctl -q -u scribe-gateway -o json "SCRIBE_REQUEST=$(tr -d "\r" </root/head | sed -n "s/^x-request-id: *//Ip")" | grep -q .'
ok "but not the key's secret" box_run sh -c '! journalctl -q -o export | grep -qF "$(cat /root/key)"'
before=$(main_pid)
ok "systemctl reload" box_run sh -c \
    'printf "[model \"box\"]\ntarget = echo\n" >/etc/scribe-gateway/gateway.conf.d/box.conf && systemctl reload scribe-gateway'
ok "brings the new model" wait_in_box "curl -sf -m 5 -H \"Authorization: Bearer \$(cat /root/key)\" $URL/v1/models/box | grep -q box"
ok "in the same process" [ "$(main_pid)" = "$before" ]
ok "a broken configuration is found by scribectl" box_run sh -c \
    'printf "[gateway]\nworkrs = 1\n" >/etc/scribe-gateway/gateway.conf.d/zz.conf; ! scribectl config check >/root/check 2>&1 && grep -q "zz.conf:2" /root/check'
ok "and does not stop the service" box_run sh -c 'systemctl reload scribe-gateway; rm /etc/scribe-gateway/gateway.conf.d/zz.conf; systemctl is-active scribe-gateway'
ok "the ledger may be restarted under it" box_run systemctl restart scribe-ledger
ok "and chats go on" says_hello
ok "systemctl restart" box_run systemctl restart scribe-gateway
ok "keys are still known" says_hello
ok "the sandbox is tight" box_run sh -c 'systemd-analyze security scribe-gateway --no-pager --threshold=30 >/root/security || { cat /root/security; false; }'
ok "systemctl stop" box_run systemctl stop scribe-gateway scribe-ledger
ok "ends orderly" box_run sh -c '[ "$(systemctl show -P Result scribe-gateway scribe-ledger | sort -u | grep .)" = success ]'
ok "apt removes it" box_run env DEBIAN_FRONTEND=noninteractive apt-get -q -y purge scribe-gateway
ok "and leaves only what the administrator made" box_run sh -c \
    '[ "$(find /etc/scribe-gateway /var/lib/scribe-gateway /run/scribe-gateway ! -type d 2>/dev/null)" = /etc/scribe-gateway/gateway.conf.d/box.conf ]'
echo "1..$N"
exit "$FAILED"
