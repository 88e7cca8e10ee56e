#!/bin/sh
#
# gather.sh - everything that programs need at run time, and nothing else, as the root of an image made from scratch
#
# usage: gather.sh DIRECTORY PROGRAM...
#
# Libraries are copied as the build's Debian has them, with the entry of their package for dpkg (so that scanners know
# what is in the image) and its copyright. The names of the packages are left in DIRECTORY.packages.
set -eu

out=$1
shift
mkdir -p "$out/usr/bin" "$out/usr/lib" "$out/etc/ssl/certs" "$out/var/lib/dpkg/status.d" "$out/run"
# The loader is asked for in /lib64 or /lib, which are names of directories in /usr since Debian 12.
for name in lib lib64; do
    if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$out/$name"; fi
done

take_package() { # FILE: its package is told of
    package=$(dpkg-query -S "$1" 2>/dev/null | head -n 1 | cut -d: -f1)
    [ -n "$package" ] || { echo "gather.sh: $1 belongs to no package" >&2; exit 1; }
    if [ ! -e "$out/var/lib/dpkg/status.d/$package" ]; then
        dpkg-query -s "$package" | sed '/^Conffiles:/,/^[^ ]/{/^Conffiles:/d;/^ /d}' >"$out/var/lib/dpkg/status.d/$package"
        mkdir -p "$out/usr/share/doc/$package"
        cp -L "/usr/share/doc/$package/copyright" "$out/usr/share/doc/$package/"
        echo "$package" >>"$out.packages"
    fi
}

take() { # FILE: under the name by which it is asked for, in /usr
    real=$(realpath "$1")
    target=$out/$(realpath "$(dirname "$1")" | cut -c2-)/$(basename "$1")
    [ -e "$target" ] || {
        mkdir -p "$(dirname "$target")"
        cp "$real" "$target"
        for owner in "$1" "$real" "${real#/usr}"; do
            if dpkg-query -S "$owner" >/dev/null 2>&1; then take_package "$owner"; return; fi
        done
        echo "gather.sh: $1 belongs to no package" >&2
        exit 1
    }
}

: >"$out.packages"
for program in "$@"; do
    install -m 0755 "$program" "$out/usr/bin/"
    # Both kinds of lines: "name => /path (address)" and "/path/of/the/loader (address)".
    ldd "$program" | sed -nE 's/^\t(.* => )?(\/[^ ]+) \(.*/\2/p' | sort -u >"$out.libraries"
    while read -r library; do take "$library"; done <"$out.libraries"
done
rm "$out.libraries"
take_package /etc/ca-certificates
cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
cp -L /usr/lib/os-release "$out/etc/os-release"

printf 'root:x:0:0:root:/:/sbin/nologin\nscribe-gateway:x:10001:10001:scribe-gateway:/var/lib/scribe-gateway:/sbin/nologin\n' \
    >"$out/etc/passwd"
printf 'root:x:0:\nscribe-gateway:x:10001:\n' >"$out/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$out/etc/nsswitch.conf"
