#!/usr/bin/env bash
# Times `mkimg realize images/modules.kdl` on an empty cache, as a whole process: taken from a registry on this machine, beside
# making it, with and without the download of its sources. Medians; the machine and the mirror are shared with whatever else
# runs: read the ratios. Needs docker-registry and ssh-keygen.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet
mkimg=$PWD/target/release/mkimg
work=$(mktemp -d)
registry=
cleanup() {
    [ -z "$registry" ] || kill "$registry"
    rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/images"
cp images/modules.kdl "$work/images/"
cd "$work"

cat >config.yml <<END
version: 0.1
log: {level: info, formatter: json}
storage: {filesystem: {rootdirectory: $work/data}}
http: {addr: "127.0.0.1:0", secret: bench}
END
docker-registry serve config.yml >/dev/null 2>log &
registry=$!
for _ in $(seq 500); do
    place=$(sed -n 's/.*listening on \([0-9.:]*\).*/\1/p' log)
    [ -z "$place" ] || break
    sleep 0.02
done
place=$place/team/modules

ssh-keygen -q -t ed25519 -N '' -C bench -f key
echo "bench@example $(cat key.pub)" >signers
"$mkimg" realize --quiet --cache full modules >/dev/null
"$mkimg" push --quiet --cache full modules "$place:1" --sign key >/dev/null

python3 - "$mkimg" "$place" "${1:-5}" <<'PY'
import json, os, shutil, statistics, subprocess, sys, time

mkimg, place, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
command = [mkimg, "realize", "--json", "--cache", "cache", "modules"]
ask = ["--from", place, "--trust", "signers"]


def timed(sources, more):
    """Seconds on a cache that is empty but for the sources, where they are to be there; and what came."""
    shutil.rmtree("cache", ignore_errors=True)
    if sources:
        os.makedirs("cache")
        shutil.copytree("full/blobs-v1", "cache/blobs-v1")
        # What the image is made of, and not the image.
        for part in ("kernel", "initramfs"):
            digest = full[part]["sha256"]
            path = f"cache/blobs-v1/{digest[:2]}/{digest[2:]}"
            if os.path.exists(path):
                os.remove(path)
    os.sync()
    start = time.perf_counter()
    done = subprocess.run(command + more, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)


full = json.loads(subprocess.run([mkimg, "realize", "--quiet", "--json", "--cache", "full", "modules"], stdout=subprocess.PIPE, check=True).stdout)
kinds = {
    "made, sources downloaded": (False, ["--no-substitutes"], False),
    "made, sources in the cache": (True, ["--no-substitutes", "--offline"], False),
    "taken from the registry": (False, ask, True),
}
times = {name: [] for name in kinds}
for _ in range(rounds):
    for name, (sources, more, taken) in kinds.items():
        took, image = timed(sources, more)
        assert (image["from"] is not None) == taken, name
        assert image["identities"] == full["identities"], name
        times[name].append(took)

taken = statistics.median(times["taken from the registry"])
print(f"the image has {(full['kernel']['size'] + full['initramfs']['size']) / 1e6:.1f} MB; medians of {rounds}")
for name, all_of in times.items():
    median = statistics.median(all_of)
    print(f"{name:28} median {median * 1000:8.1f} ms  min {min(all_of) * 1000:8.1f}  max {max(all_of) * 1000:8.1f}  {median / taken:5.1f} x taking it")
PY
