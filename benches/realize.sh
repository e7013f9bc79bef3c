#!/usr/bin/env bash
# Times `mkimg realize` of the minimal image as a whole process, beside an empty process: unchanged, the same under a lock, and
# after an edit of `/init`. Medians of 20, in milliseconds. The machine is shared with whatever else runs: read the ratios.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet
mkimg=$PWD/target/release/mkimg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/images" "$work/cache"
cp images/minimal.kdl "$work/images/"
cd "$work"
cp images/minimal.kdl images/locked.kdl
"$mkimg" realize --quiet minimal >/dev/null
"$mkimg" lock --quiet locked >/dev/null

python3 - "$mkimg" <<'PY'
import statistics, subprocess, sys, time

mkimg, rounds = sys.argv[1], 20
recipe = "images/edited.kdl"
text = open("images/minimal.kdl").read()


def timed(command):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


rows = {"an empty process": [], "realize, unchanged": [], "realize, unchanged, with a lock": [], "realize, /init edited": []}
for turn in range(rounds):
    rows["an empty process"].append(timed(["/bin/true"]))
    rows["realize, unchanged"].append(timed([mkimg, "realize", "images/minimal.kdl"]))
    rows["realize, unchanged, with a lock"].append(timed([mkimg, "realize", "images/locked.kdl"]))
    with open(recipe, "w") as file:
        file.write(text.replace("#!/bin/busybox sh", f"#!/bin/busybox sh\n        # edit {turn}"))
    rows["realize, /init edited"].append(timed([mkimg, "realize", recipe]))

empty = statistics.median(rows["an empty process"])
for name, times in rows.items():
    median = statistics.median(times)
    print(f"{name:32} median {median:6.2f} ms  min {min(times):6.2f}  max {max(times):6.2f}  {median / empty:5.1f} x empty")
PY
