#!/usr/bin/env python3
"""Stands for `unshare` in front of a round of `check`, and lets one thing of the round's world into its image.

`mkimg check` starts each round through `unshare`. The round is run as ever; then the image that it made is packed anew with
what LEAK names: the order of a hash, times of files on disk, the umask, the user, the number of threads, the path of the
temporary directory, or the environment. Everything is taken from the round itself: its options, variables and files.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib

LEAK = os.environ["LEAK"]
ARGS = sys.argv[1:]


def option(name):
    """Returns the value of an option of the round."""
    return ARGS[ARGS.index(name) + 1] if name in ARGS else None


def entries(archive):
    """Returns the entries of an archive: the 13 fields of their headers, name and data."""
    at, found = 0, []
    while True:
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        start = at + 110
        name = archive[start : start + fields[11] - 1].decode()
        data = (start + fields[11] + 3) // 4 * 4
        at = (data + fields[6] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found.append([fields, name, archive[data : data + fields[6]]])


def packed(all_entries):
    """Returns the archive of entries."""
    out = b""
    trailer = [[0] * 4 + [1] + [0] * 8, "TRAILER!!!", b""]
    for fields, name, data in all_entries + [trailer]:
        fields[6], fields[11] = len(data), len(name) + 1
        out += b"070701" + "".join(f"{field:08X}" for field in fields).encode()
        for part in [name.encode() + b"\0", data]:
            out += part
            out += bytes(-len(out) % 4)
    return out + bytes(-len(out) % 512)


def leak(found):
    """Changes entries as LEAK says. Of the fields, 1 is the mode, 2 the user and 5 the time."""
    if LEAK == "order":
        digest = lambda entry: hashlib.sha256((option("--host") + entry[1]).encode()).digest()
        found.sort(key=lambda entry: (entry[1].count("/"), digest(entry)))
        for number, entry in enumerate(found):
            entry[0][0] = number
    for entry in found:
        fields, name, _ = entry
        if LEAK == "umask":
            fields[1] &= ~int(option("--umask"), 8)
        elif LEAK == "uid":
            # Only root becomes another user; others become root in a namespace.
            fields[2] = int(option("--user") or os.geteuid() + 1)
        elif LEAK == "mtime" and name == "bin/sh":
            beside = os.path.dirname(ARGS[ARGS.index("check-round") + 2])
            fields[5] = int(os.stat(os.path.join(beside, "sh")).st_mtime)
        elif LEAK == "path" and name == "note":
            entry[2] = f"made in\n{os.environ['TMPDIR']}/build.0\n".encode()
        elif LEAK == "env" and name == "note":
            entry[2] = "".join(f"{key}={os.environ[key]}\n" for key in ["LANG", "TZ", "USER"]).encode()


def compressed(archive):
    """Returns a gzip member with the header and the level that mkimg writes."""
    block = 4096 * int(option("--jobs")) if LEAK == "blocks" else len(archive)
    deflate = zlib.compressobj(7, zlib.DEFLATED, -15)
    parts = [archive[at : at + block] for at in range(0, len(archive), block)]
    body = b"".join(deflate.compress(part) + deflate.flush(zlib.Z_FULL_FLUSH) for part in parts)
    body += deflate.flush()
    ends = zlib.crc32(archive).to_bytes(4, "little") + len(archive).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + ends


def alter(path):
    """Packs the image at a path anew, and says in its image.json what it is now."""
    described = os.path.join(path, "image.json")
    with open(described, encoding="utf-8") as file:
        image = json.load(file)
    initramfs = os.path.join(path, image["initramfs"]["name"])
    with gzip.open(initramfs) as file:
        found = entries(file.read())
    leak(found)
    archive = packed(found)
    out = compressed(archive)
    image["identities"]["tree"] = hashlib.sha256(archive).hexdigest()
    image["identities"]["image"]["initramfs"] = hashlib.sha256(out).hexdigest()
    image["initramfs"].update(sha256=hashlib.sha256(out).hexdigest(), size=len(out), archive_size=len(archive))
    for name, content in [(initramfs, out), (described, (json.dumps(image, indent=2) + "\n").encode())]:
        os.remove(name)
        with open(name, "wb") as file:
            file.write(content)


real = shutil.which("unshare", path="/usr/local/bin:/usr/bin:/bin")
done = subprocess.run([real, *ARGS], stdout=subprocess.PIPE, check=False)
if done.returncode == 0 and "check-round" in ARGS and LEAK != "nothing":
    alter(json.loads(done.stdout)["path"])
sys.stdout.buffer.write(done.stdout)
sys.exit(done.returncode)
