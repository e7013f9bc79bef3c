#!/usr/bin/env bash
# Time and peak memory of `mkimg diff` over two trees of 400 MB: plain, gzip, one file changed, everything changed.
# The bound is 5 s and 200 MiB. Needs a release build, GNU time and cpio.
set -euo pipefail
cd "$(dirname "$0")/.."
mkimg=$PWD/target/release/mkimg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir -p tree/lib
# Half of it does not compress, half does; 4000 files of 100 KB.
head -c 200000000 /dev/urandom > noise
for number in $(seq 1 2000); do
    tail -c +$((number * 90000)) noise | head -c 100000 > tree/lib/noise$number || true
    yes "line of file $number" | head -c 100000 > tree/lib/text$number || true
done
pack() { (cd tree && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible --owner=0:0); }
pack > a.cpio
printf x | dd of=tree/lib/noise7 bs=1 seek=99000 conv=notrunc status=none
pack > b.cpio
for file in tree/lib/*; do printf y | dd of="$file" bs=1 seek=50000 conv=notrunc status=none; done
pack > c.cpio
for name in a b c; do gzip -1 < $name.cpio > $name.cpio.gz; done

size=$(stat -c %s a.cpio)
measure() {
    local took cmp
    # Exit code 4 is what two of these three are to give.
    took=$({ /usr/bin/time -f '%e %M' "$mkimg" diff "$1" "$2" --stat >/dev/null || true; } 2>&1 | tail -n 1)
    cmp=$( { /usr/bin/time -f '%e' sh -c 'cmp "$1" "$2" >/dev/null || true' sh "$1" "$2"; } 2>&1 | tail -n 1)
    echo "$1 $2 $took $cmp" | awk -v size="$size" '{ printf "%-12s %-12s %6.2f s %6.0f MB/s a side, %5.0f MiB (cmp alone: %.2f s)\n", $1, $2, $3, size / 1e6 / ($3 + 0.001), $4 / 1024, $5 }'
}
for suffix in cpio cpio.gz; do
    cp a.$suffix same.$suffix
    measure a.$suffix same.$suffix
    measure a.$suffix b.$suffix
    measure a.$suffix c.$suffix
done
