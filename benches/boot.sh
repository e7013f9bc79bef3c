#!/usr/bin/env bash
# Times a boot to the first line of `/init`: mkimg's machine beside the classic line, with the same kernel and initramfs under TCG,
# in turns; Debian's generic kernel (xz) and its cloud kernel (lz4). Medians of 7, in seconds. Needs qemu-system-x86_64.
# docs/machine.md says what mkimg's arguments are.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet
mkimg=$PWD/target/release/mkimg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/images" "$work/cache"

python3 - "$work/images" images/minimal.kdl <<'PY'
import re, sys

text = open(sys.argv[2]).read()
# An `/init` that says its line and ends the machine.
start, end = text.index('text="""') + 8, text.index('"""', text.index('text="""') + 8)
text = text[:start] + "\n        #!/bin/busybox sh\n        echo first-line\n        /bin/busybox poweroff -f\n        " + text[end:]
text = text[: text.index("test ")]
open(sys.argv[1] + "/cloud.kdl", "w").write(text.replace('image "minimal"', 'image "cloud"'))
generic = re.sub(
    r'debian "pool/main/l/linux-signed-amd64/.*?sha256="[0-9a-f]{64}"',
    'debian "pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb" arch="x86_64"'
    ' snapshot="20260711T101637Z" size=70305560'
    ' sha256="7b5597492a0a65aee61985a492e6bcc3f2cde830072a0e3b3d8c7e1b90279bd3"',
    text,
    flags=re.S,
)
open(sys.argv[1] + "/generic.kdl", "w").write(generic.replace('image "minimal"', 'image "generic"'))
PY
cd "$work"

python3 - "$mkimg" "${1:-7}" <<'PY'
import statistics, subprocess, sys, time

mkimg, rounds = sys.argv[1], int(sys.argv[2])


def first_line(command):
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        for line in process.stdout:
            if b"first-line" in line:
                took = time.perf_counter() - start
                process.kill()  # without ACPI it halts and stays
                return took
    raise SystemExit(f"no first line: {command}")


for name, most in [("generic", 0.45), ("cloud", 0.68)]:
    recipe = f"images/{name}.kdl"
    image = subprocess.run(
        [mkimg, "realize", recipe, "--arch", "x86_64"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    classic = [
        *"qemu-system-x86_64 -nographic -serial mon:stdio -m 128 -accel tcg".split(),
        *["-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initramfs.cpio.gz"],
        *["-append", "console=ttyS0 quiet acpi=off"],
    ]
    ours = [mkimg, "run", recipe, "--arch", "x86_64", "--accel", "tcg", "--qemu", "system"]
    first_line(ours)  # takes the ELF kernel out of the bzImage, once
    rows = {"classic": [], "mkimg run": []}
    for _ in range(rounds):
        rows["classic"].append(first_line(classic))
        rows["mkimg run"].append(first_line(ours))
    base = statistics.median(rows["classic"])
    for machine, times in rows.items():
        median = statistics.median(times)
        print(f"{name:8} {machine:10} median {median:.2f}  min {min(times):.2f}  {median / base:.2f} of classic")
    print(f"{name:8} at most {most}")
PY
