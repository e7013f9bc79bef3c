#!/bin/sh
# The kernel image, and the whole module tree, out of Debian's generic kernel package, beside `dpkg-deb -x` of the same
# package; medians of several turns, taken in turn.
#
#     benches/read.sh [DEB [TURNS]]
#
# Without a package it is downloaded once, through this machine's own apt.
set -eu
deb=${1:-}
[ -z "$deb" ] || deb=$(realpath "$deb")
cd "$(dirname "$0")/.."
if [ -z "$deb" ]; then
    mkdir -p target/debs
    if ! ls target/debs/linux-image-6.1.0-50-amd64_*.deb >/dev/null 2>&1; then
        (cd target/debs && apt-get download -q linux-image-6.1.0-50-amd64=6.1.176-1)
    fi
    deb=$(realpath target/debs/linux-image-6.1.0-50-amd64_*.deb)
fi
exec cargo bench --quiet --bench read -- "$deb" "${2:-7}"
