#!/usr/bin/env bash
# Shows that other processors compress to the same bytes: builds the C source of the pinned libdeflate with Debian's cross
# compilers for aarch64, i686, big-endian s390x and riscv64, runs it under qemu-user over the blocks of real archives, and compares
# each block with what mkimg wrote here. Exit 1 where one differs; 77 where a program is missing (in CI that is an error).
#
#   tests/other-arch.sh MKIMG     the mkimg to compare with, such as target/debug/mkimg
set -euo pipefail
cd "$(dirname "$0")/.."
mkimg=$(realpath "${1:?usage: tests/other-arch.sh MKIMG}")

# NAME COMPILER EMULATOR; s390x has the other byte order, i686 the other word size.
large="aarch64 aarch64-linux-gnu-gcc qemu-aarch64
i686 i686-linux-gnu-gcc qemu-i386
s390x s390x-linux-gnu-gcc qemu-s390x"
machines="$large
riscv64 riscv64-linux-gnu-gcc qemu-riscv64"
while read -r _ compiler emulator; do
    for program in "$compiler" "$emulator"; do
        if ! command -v "$program" >/dev/null; then
            echo "skipped: other architectures: \`$program\` is missing" >&2
            exit 77
        fi
    done
done <<<"$machines"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The very source that mkimg is linked with: where cargo has the locked crate.
host=$(rustc -vV | sed -n 's/^host: //p')
source=$(cargo metadata --locked --offline --filter-platform "$host" --format-version 1 | python3 -c '
import json, os, sys
[crate] = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "libdeflate-sys"]
print(crate["version"], os.path.dirname(crate["manifest_path"]) + "/libdeflate")')
version=${source%% *} source=${source#* }
while read -r name compiler _; do
    "$compiler" -O2 -static -I "$source" -o "$scratch/blocks-$name" tests/second/blocks.c \
        "$source"/lib/{deflate_compress,utils}.c "$source"/lib/{arm,x86}/cpu_features.c
done <<<"$machines"

# Makes an image at a level, in the cache that the recipe has anyway; leaves $scratch/image.gz and $scratch/archive.
image() { # RECIPE LEVEL
    # Of all modules one file system: the emulators would take minutes for the rest, which is no other code.
    sed -e "s/^initramfs {/initramfs level=$2 {/" -e 's|"lib/modules/\*\*"|"lib/modules/*/kernel/fs/**"|' \
        "images/$1.kdl" >"$scratch/$1.kdl"
    grep -q "level=$2 " "$scratch/$1.kdl"
    local path
    path=$("$mkimg" realize -q --cache "${MKIMG_CACHE:-cache}" --arch x86_64 "$scratch/$1.kdl")
    cp "$path/initramfs.cpio.gz" "$scratch/image.gz"
    gzip -dc "$scratch/image.gz" >"$scratch/archive"
    python3 tests/second/canonical.py check "$scratch/image.gz" >/dev/null
}

compare() { # RECIPE LEVEL MACHINES
    image "$1" "$2"
    while read -r name _ emulator; do
        "$emulator" "$scratch/blocks-$name" "$2" <"$scratch/archive" >"$scratch/streams-$name" &
    done <<<"$3"
    wait
    while read -r name _ _; do
        blocks=$(python3 tests/second/streams.py "$scratch/image.gz" "$scratch/streams-$name") || {
            echo "libdeflate $version on $name, $1 at level $2: other bytes than here" >&2
            exit 1
        }
        echo "libdeflate $version on $name, $1 at level $2: $blocks blocks, equal"
    done <<<"$3"
}

# The large archive at the level that recipes get unless they say otherwise, and the small one at the others. riscv64 is
# another aarch64 to the compressor, and goes without the large one.
compare modules 7 "$large"
for level in 1 6 9 12; do
    compare minimal "$level" "$machines"
done
