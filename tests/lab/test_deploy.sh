#!/bin/bash
#
# packaging/deploy against a real sshd in a booted Debian 12: first deployment, upgrade, what fails and comes back. Prints TAP.
#
# usage: test_deploy.sh SOURCE-DIRECTORY WORK-DIRECTORY
#
# ssh reaches the box through its own namespaces (ProxyCommand), so that no network of this machine is touched.

# Commands in quotes are for the box's own shell; functions are called by ok.
# shellcheck disable=SC2016,SC2317
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
        { echo "$out"; cat "$TRY/out" 2>/dev/null; } | sed 's/^/# /'
        echo "not ok $N - $name"
        FAILED=1
    fi
}
skip_rest() { # REASON: this machine cannot do what the remaining cases need
    N=$((N + 1))
    echo "ok $N - deployment to a booted Debian # SKIP $*"
    echo "1..$N"
    exit "$FAILED"
}

mkdir -p "$WORK"
TRY=$(mktemp -d)
trap 'box_end; rm -rf -- "$TRY"' EXIT

# ---- without any server

deploy() { # ARGUMENT...: what it says goes to out
    "$SOURCE/packaging/deploy" "$@" >"$TRY/out" 2>&1 </dev/null
}
refuses() { # WORDS ARGUMENT...: as wrong usage, with these words
    local words=$1 status=0
    shift
    deploy "$@" || status=$?
    [ "$status" = 2 ] && grep -qF -- "$words" "$TRY/out"
}
ok "--help says how" "$SOURCE/packaging/deploy" --help
ok "no host" env -u DEV_SERVER bash -c '! "$1/packaging/deploy" --package x' - "$SOURCE"
ok "nothing to deploy" refuses "nothing to deploy" somewhere
ok "an unknown option" refuses "not understood" --fast somewhere
ok "agents are not in this release" refuses "not in this release" --type agents somewhere
ok "nor is a frontend" refuses "not in this release" --type frontend somewhere
ok "an unknown service" refuses "there is no service" --service query somewhere
ok "a host that is an option of ssh" refuses "is no host" --package x 'a -oProxyCommand=x'
ok "no option of ssh by the environment either" env DEV_SERVER=-oProxyCommand=x bash -c '! "$1/packaging/deploy" --package x' - "$SOURCE"

for program in dpkg-buildpackage dh ssh ssh-keygen; do
    command -v "$program" >/dev/null || skip_rest "no $program"
done
missing=$(box_missing)
[ -z "$missing" ] || skip_rest "$missing"

# ---- packages: one, a higher one, and one whose gateway does not start

NEXT=9.0.0
packages() {
    FIRST=$("$HERE/build_package.sh" "$SOURCE" "$WORK") && HIGHER=$("$HERE/build_package.sh" "$SOURCE" "$WORK" "$NEXT") || return 1
    dpkg-deb -R "$HIGHER" "$TRY/broken" &&
        sed -i "s/^Version: .*/Version: 9.1.0/" "$TRY/broken/DEBIAN/control" &&
        printf '#!/bin/sh\ncase $1 in --version | --check) echo fine; exit 0 ;; esac\nexit 1\n' >"$TRY/broken/usr/bin/scribe-gateway" &&
        dpkg-deb --root-owner-group -b "$TRY/broken" "$TRY/broken.deb" >/dev/null || return 1
    # As a package that a newer one has left behind: it does not come back.
    dpkg-deb -R "$HIGHER" "$TRY/oneway" && sed -i "s/^Version: .*/Version: 9.0.5/" "$TRY/oneway/DEBIAN/control" &&
        printf '#!/bin/sh\n[ "$1" != upgrade ] || dpkg --compare-versions "$2" lt 9.0.5 || { echo "no way back" >&2; exit 1; }\n' \
            >"$TRY/oneway/DEBIAN/preinst" && chmod 0755 "$TRY/oneway/DEBIAN/preinst" &&
        dpkg-deb --root-owner-group -b "$TRY/oneway" "$TRY/oneway.deb" >/dev/null
}
packages || { echo "not ok $((N + 1)) - the packages are made"; echo "1..$((N + 1))"; exit 1; }
FIRST_VERSION=$(dpkg-deb -f "$FIRST" Version)

# ---- the server: an ordinary user with a key, and sudo

depends=$(dpkg-deb -f "$FIRST" Pre-Depends Depends | sed 's/^[A-Za-z-]*: //' | tr ',' '\n' | sed 's/|.*//; s/([^)]*)//; s/ //g' | sort -u)
# shellcheck disable=SC2086
box_base "$WORK/base-deploy-$BOX_SUITE" $depends jq openssh-server sudo netcat-openbsd >&2 || skip_rest "the base could not be built"
box_boot "$WORK/base-deploy-$BOX_SUITE" || skip_rest "a plain Debian does not boot here"
ssh-keygen -q -t ed25519 -N '' -f "$TRY/key"
box_run sh -c 'echo "127.0.1.1 $(hostname)" >>/etc/hosts'
box_run sh -c 'useradd -m -s /bin/sh ops && useradd -m -s /bin/sh guest && echo "ops ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ops'
for user in ops guest; do
    box_run sh -c "install -d -m 0700 -o $user -g $user /home/$user/.ssh && cat >/home/$user/.ssh/authorized_keys" <"$TRY/key.pub"
done
box_run cat /etc/ssh/ssh_host_ed25519_key.pub | sed 's/^/box /' >"$TRY/known"
cat >"$TRY/ssh" <<END
Host box other
    ProxyCommand bash $HERE/box.sh enter $BOX_INIT nc 127.0.0.1 22
Host nowhere
    ProxyCommand false
Host *
    HostKeyAlgorithms ssh-ed25519
    IdentityFile $TRY/key
    IdentitiesOnly yes
    UserKnownHostsFile $TRY/known
END

to_box() { # ARGUMENT...
    deploy --ssh-config "$TRY/ssh" "$@"
}
fails() { # WORDS ARGUMENT...: with exit status 1 and these words
    local words=$1 status=0
    shift
    to_box "$@" || status=$?
    [ "$status" = 1 ] && said "$words"
}
said() { grep -qF -- "$1" "$TRY/out"; }
version() { box_run dpkg-query -W -f '${db:Status-Status} ${Version}' scribe-gateway 2>/dev/null | sed -n 's/^installed //p'; }
is_version() { [ "$(version)" = "$1" ]; }
chat() {
    box_run sh -c "curl -sS -m 10 -H \"Authorization: Bearer \$(cat /root/key)\" \
        -d '{\"model\":\"${1-default}\",\"messages\":[{\"role\":\"user\",\"content\":\"hello box\"}]}' \
        http://127.0.0.1:8000/v1/chat/completions" | grep -q 'hello box'
}
# Everything that a deployment could change, in one number: files with their times, packages, processes.
picture() {
    box_run sh -c 'find /etc /usr/bin /usr/lib/systemd /lib/systemd /var/lib/scribe-gateway-deploy/packages -type f \
        -printf "%p %T@ %m %u\n" 2>/dev/null | sort; dpkg -l; systemctl show -P MainPID scribe-gateway scribe-ledger' | sha256sum
}
unchanged() { [ "$(picture)" = "$before" ]; }
no_leftovers() { box_run sh -c '! ls -d /var/lib/scribe-gateway-deploy/stage.* 2>/dev/null'; }
# Chats one after the other, each on a connection of its own, as long as a deployment takes.
under_load() { # COMMAND...
    local load status=0
    box_run sh -c ': >/root/load && : >/root/go'
    box_run bash -c 'while [ -e /root/go ]; do
        curl -sS -m 30 -o /dev/null -w "%{http_code}\n" -H "Authorization: Bearer $(cat /root/key)" \
            -d "{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}" \
            http://127.0.0.1:8000/v1/chat/completions >>/root/load 2>&1
    done' </dev/null >/dev/null 2>&1 &
    load=$!
    "$@" || status=$?
    box_run rm /root/go
    wait "$load"
    return "$status"
}
load_is_fine() { # every chat was answered, and there were some
    box_run sh -c 'sort /root/load | uniq -c; [ "$(sort -u /root/load)" = 200 ] && [ "$(wc -l </root/load)" -gt 20 ]'
}
cut_off() { # the deploying side is killed once the server has begun to change something; the server goes on
    local deploying tries
    setsid "$SOURCE/packaging/deploy" --ssh-config "$TRY/ssh" --package "$HIGHER" --config "$TRY/good" ops@box >"$TRY/out" 2>&1 </dev/null &
    deploying=$!
    for ((tries = 0; tries < 300; tries++)); do
        if said "configuration: taken"; then break; fi
        sleep 0.1
    done
    kill -KILL -- "-$deploying"
    wait "$deploying"
    ! said "install:" && box_run timeout 60 sh -c \
        'until tail -n 1 /var/lib/scribe-gateway-deploy/log | grep -q "health: well" && [ ! -e /var/lib/scribe-gateway-deploy/stage.* ]; do
            sleep 0.1
        done'
}
config() { # NAME TEXT: a directory with this as gateway.conf.d/site.conf
    mkdir -p "$TRY/$1/gateway.conf.d"
    printf '%b' "$2" >"$TRY/$1/gateway.conf.d/site.conf"
}
config good '[model "site"]\ntarget = echo\n'
config better '[model "better"]\ntarget = echo\n'
config wrong '[gateway]\nworkrs = 1\n'
config taken '[listener "extra"]\naddress = 127.0.0.1:22\n'
echo secret >"$TRY/good/secret" && chmod 0600 "$TRY/good/secret"

# ---- what does not get as far as changing something

before=$(picture)
ok "an unreachable host is told plainly" fails "cannot be reached" --package "$FIRST" nowhere
ok "so is an unknown host key" fails "Host key verification failed" --package "$FIRST" ops@other
ok "and a user who may not use sudo" fails "may not use sudo without a password" --package "$FIRST" guest@box
ok "a configuration alone wants an installed package" fails "nothing is installed there" --config "$TRY/good" ops@box
ok "a dry run says every step" to_box --dry-run --package "$FIRST" --config "$TRY/good" --wait 127.0.0.1:22 ops@box
ok "and that it was one" said "dry run: nothing was changed"
ok "a dependency that does not come" fails "127.0.0.1:1 does not answer" --package "$FIRST" --wait 127.0.0.1:1 --wait-limit 1 ops@box
ok "a broken configuration is refused" fails "site.conf:2" --package "$FIRST" --config "$TRY/wrong" ops@box
ok "none of them changed anything" unchanged
ok "or left something behind" no_leftovers
ok "a first deployment that does not get well" fails "nothing is installed, as before" \
    --package "$TRY/broken.deb" --config "$TRY/good" --health-limit 5 ops@box
ok "takes its package away again" is_version ""

# ---- deployments

ok "the first deployment, by the user and host of the environment" env DEV_USER=ops DEV_SERVER=box \
    "$SOURCE/packaging/deploy" --ssh-config "$TRY/ssh" --package "$FIRST" --config "$TRY/good" --wait 127.0.0.1:22
ok "it is installed" is_version "$FIRST_VERSION"
ok "and serves" box_run curl -sf -m 5 -o /dev/null http://127.0.0.1:8000/ready
box_run sh -c 'scribectl key create alice --json | jq -r .secret >/root/key'
ok "a chat is answered" chat
ok "by a model of the configuration, too" chat site
ok "a secret file is for root and the service only" box_run sh -c '[ "$(stat -c %a:%U:%G /etc/scribe-gateway/secret)" = 640:root:scribe-gateway ]'
before=$(picture)
ok "the same again" to_box --package "$FIRST" --config "$TRY/good" ops@box
ok "changes nothing" unchanged
ok "a dry run over it" to_box --dry-run --package "$HIGHER" --config "$TRY/better" ops@box
ok "changes nothing, either" unchanged
ok "a broken configuration is refused" fails "failed: nothing was changed" --package "$HIGHER" --config "$TRY/wrong" ops@box
ok "with its line" said "site.conf:2"
ok "before anything is changed" unchanged
ok "a configuration with which it cannot start" fails "serves as before" --config "$TRY/taken" --health-limit 5 ops@box
ok "is taken back" box_run grep -q 'model "site"' /etc/scribe-gateway/gateway.conf.d/site.conf
ok "and the one before serves" chat site
ok "a new version, under load" under_load to_box --package "$HIGHER" --config "$TRY/better" ops@box
ok "refuses nothing and cuts nothing off" load_is_fine
ok "is installed" is_version "$NEXT"
ok "its process is the installed program" box_run sh -c '[ "/proc/$(systemctl show -P MainPID scribe-gateway)/exe" -ef /usr/bin/scribe-gateway ]'
ok "keys are still known, the new model is there" chat better
ok "an older one is refused" fails "is older than the installed" --package "$FIRST" ops@box
ok "a version that does not start, under load" under_load fails "failed and rolled back" --package "$TRY/broken.deb" --config "$TRY/good" --health-limit 5 ops@box
ok "gives way to the one before" is_version "$NEXT"
ok "which serves with its configuration" chat better
ok "and has served all the time" load_is_fine
ok "two packages are kept, no more" box_run sh -c '[ "$(ls /var/lib/scribe-gateway-deploy/packages | wc -l)" -le 2 ]'
ok "the log of it stays on the server" box_run grep -q 'rollback: scribe-gateway 9.0.0 is installed again' /var/lib/scribe-gateway-deploy/log
ok "only the gateway, alone, older when told to" to_box --api-gateway-only --allow-downgrade --package "$FIRST" ops@box
ok "is installed" is_version "$FIRST_VERSION"
ok "a deployment whose connection is lost" cut_off
ok "is done all the same" is_version "$NEXT"
ok "with its configuration" chat site
ok "and goes back when told to" to_box --allow-downgrade --package "$FIRST" ops@box
config secret '[provider "real"]\ndialect = openai\nbase_url = http://127.0.0.1:9/v1\napi_key = credential:real\n[provider "sealed"]\n'
printf 'dialect = openai\nbase_url = http://127.0.0.1:9/v1\napi_key = credential:sealed\n' >>"$TRY/secret/gateway.conf.d/site.conf"
ok "a credential that the unit has not" fails "credential" --config "$TRY/secret" ops@box
ok "stops it before anything is changed" said "nothing was changed"
ok "two that it got, one of them encrypted" box_run sh -c 'echo sk-real >/etc/real.key && mkdir -p /etc/systemd/system/scribe-gateway.service.d &&
    echo sk-sealed | systemd-creds encrypt --name=sealed - /etc/sealed.cred &&
    printf "[Service]\nLoadCredential=real:/etc/real.key\nLoadCredentialEncrypted=sealed:/etc/sealed.cred\n" \
        >/etc/systemd/system/scribe-gateway.service.d/secret.conf && systemctl daemon-reload'
ok "are found, and taken by a restart" to_box --config "$TRY/secret" ops@box
ok "it was a restart" said "gateway: restarted"
ok "no secret stands in the log" box_run sh -c '! grep -rq "sk-real\|sk-sealed" /var/lib/scribe-gateway-deploy/log'
ok "several hosts: the first that fails" fails "cannot be reached" --package "$HIGHER" nowhere ops@box
ok "ends it" is_version "$FIRST_VERSION"
ok "a version that will refuse to come back" to_box --package "$TRY/oneway.deb" ops@box
ok "when the way back fails, too, it is said" fails "could not be brought back" --package "$TRY/broken.deb" --health-limit 5 ops@box
ok "and the old process serves" chat
ok "over a package that nobody has kept, there is no way back" fails "there would be no way back" \
    --allow-downgrade --package "$FIRST" ops@box
ok "which one may do without" to_box --no-rollback --allow-downgrade --package "$FIRST" ops@box
ok "is installed" is_version "$FIRST_VERSION"
ok "and serves" chat
ok "nothing is left behind" no_leftovers
echo "1..$N"
exit "$FAILED"
