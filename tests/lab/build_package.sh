#!/bin/bash
#
# Builds the Debian package and prints the path of the .deb. What was built of the same sources is taken as it is, so that
# all tests of the suite share one build; two that ask at once wait for each other.
#
# usage: build_package.sh SOURCE-DIRECTORY WORK-DIRECTORY [VERSION [CHANGE]]
#
# The first package of a source lies in WORK/deb, with its build log as WORK/deb/log and the tree it was built in as
# WORK/deb/source. VERSION asks for the same sources under another version, as for testing an upgrade: it lies in
# WORK/deb-VERSION and is made from the objects of the first, of which only those are compiled again that name the version.
# CHANGE is a program of the sources that is called in a copy of the tree, to make the other version differ by more.
set -euo pipefail

SOURCE=$(cd -- "$1" && pwd)
WORK=$2
VERSION=${3-}
CHANGE=${4-}

fail() { # MESSAGE [LOG]
    echo "build_package.sh: $1" >&2
    [ $# -lt 2 ] || tail -n 25 "$2" | cut -c1-300 >&2
    exit 1
}

list_sources() { # of git what it knows or would take, elsewhere everything that is no build; without what is deleted
    cd -- "$SOURCE"
    { git ls-files -z -co --exclude-standard 2>/dev/null ||
        find . -name 'build*' -type d -prune -o -name 'obj-*' -prune -o -name .local -prune -o -type f -print0; } | sort -zu |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done
}

sum_sources() { # LIST: one number for names, modes and contents
    (cd -- "$SOURCE" && { xargs -0 stat -c '%A %n' && xargs -0 sha256sum <"$1"; } <"$1") | sha256sum
}

built() { # DIRECTORY: prints its .deb
    find "$1" -maxdepth 1 -name 'scribe-gateway_*.deb' | grep .
}

# The clock of the package is that of its changelog.
make_package() { # LOG [OPTION...]
    local log=$1
    shift
    (cd "$WORK/deb/source" && env -u SOURCE_DATE_EPOCH DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" \
        dpkg-buildpackage -us -uc -b "$@") >"$log" 2>&1 </dev/null || fail "dpkg-buildpackage failed" "$log"
}

build_first() {
    local stamp
    list_sources >"$WORK/deb.list"
    stamp=$(sum_sources "$WORK/deb.list")
    if [ "$(cat "$WORK/deb/stamp" 2>/dev/null)" = "$stamp" ] && built "$WORK/deb" >/dev/null; then return 0; fi
    rm -rf -- "$WORK/deb" "$WORK"/deb-*
    mkdir -p "$WORK/deb/source"
    (cd -- "$SOURCE" && xargs -0 cp -p --parents -t "$WORK/deb/source" <"$WORK/deb.list")
    make_package "$WORK/deb/log"
    built "$WORK/deb" >/dev/null || fail "there is no package" "$WORK/deb/log"
    echo "$stamp" >"$WORK/deb/stamp"
}

# In a copy that takes the place of the first tree, since its objects name the directory.
build_other() { # VERSION
    local tree=$WORK/deb/source to=$WORK/deb-$1 first
    [ ! -e "$to/stamp" ] || return 0
    rm -rf -- "$to"
    mkdir -p "$to"
    mv "$tree" "$tree.first"
    cp -a "$tree.first" "$tree"
    first=$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version)
    sed -i "1s/($first)/($1)/" "$tree/debian/changelog"
    sed -i "0,/version: '[^']*'/s//version: '$1'/" "$tree/meson.build"
    [ -z "$CHANGE" ] || (cd "$tree" && "$CHANGE") || fail "$CHANGE failed"
    rm -rf -- "$tree/debian/debhelper-build-stamp" "$tree/debian/.debhelper" "$tree/debian/scribe-gateway"
    make_package "$to/log" -nc
    mv "$WORK"/deb/scribe-gateway*_"$1"[._]* "$to"
    touch "$to/stamp"
}

put_back() { # the first tree, also after a build that was ended
    [ ! -d "$WORK/deb/source.first" ] || { rm -rf -- "$WORK/deb/source" && mv "$WORK/deb/source.first" "$WORK/deb/source"; }
}

for program in dpkg-buildpackage dh; do
    command -v "$program" >/dev/null || fail "no $program: install the packages dpkg-dev and debhelper"
done
mkdir -p "$WORK"
WORK=$(cd -- "$WORK" && pwd)
[ -z "$CHANGE" ] || CHANGE=$SOURCE/$CHANGE
exec 9>"$WORK/deb.lock"
flock 9
put_back
trap put_back EXIT
build_first 9>&-
if [ -z "$VERSION" ]; then
    built "$WORK/deb"
else
    build_other "$VERSION" 9>&-
    built "$WORK/deb-$VERSION"
fi
