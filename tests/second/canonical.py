#!/usr/bin/env python3
"""A second implementation of docs/canonical-image.md, written from that page alone.

canonical.py archive DIRECTORY [EPOCH]   writes the canonical archive of a directory to standard output
canonical.py check FILE.gz               checks header, blocks and trailer; prints the number of blocks and the two identities
"""
import hashlib
import os
import stat
import struct
import sys
import zlib

BLOCK = 512 * 1024


def header(ino, mode, nlink, mtime, size, major, minor, name):
    fields = (ino, mode, 0, 0, nlink, mtime, size, 0, 0, major, minor, len(name) + 1, 0)
    return pad(b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0", 4)


def pad(data, unit):
    return data + bytes(-len(data) % unit)


def paths(top):
    for directory, names, files in os.walk(top):
        for name in names + files:
            yield os.path.relpath(os.path.join(directory, name), top)


def archive(top, epoch):
    out = bytearray()
    for ino, path in enumerate(sorted(paths(top))):
        full = os.path.join(top, path)
        info = os.lstat(full)
        data, device, nlink = b"", 0, 1
        if stat.S_ISDIR(info.st_mode):
            nlink = 2
        elif stat.S_ISLNK(info.st_mode):
            data = os.readlink(full)
        elif stat.S_ISREG(info.st_mode):
            with open(full, "rb") as file:
                data = file.read()
        else:
            device = info.st_rdev
        out += header(ino, info.st_mode, nlink, epoch, len(data), os.major(device), os.minor(device), path)
        out += pad(data, 4)
    out += header(0, 0, 1, 0, 0, 0, 0, b"TRAILER!!!")
    return pad(bytes(out), 512)


def check(image):
    assert image[:10] == bytes.fromhex("1f8b08000000000002ff"), "header"
    body, (crc, size) = image[10:-8], struct.unpack("<II", image[-8:])
    plain, start, blocks = bytearray(), 0, 0
    while True:
        blocks += 1
        # The last block alone has a final bit, and so an end of its own.
        last = zlib.decompressobj(-15)
        block = last.decompress(body[start:], BLOCK + 1)
        if last.eof and len(block) <= BLOCK:
            assert last.unused_data == b"", "data behind the last block"
            plain += block
            break
        end = start
        while True:
            end = body.index(b"\0\0\xff\xff", end) + 4
            # A decompressor that has not seen the earlier blocks: nothing may reach back into them.
            block = zlib.decompressobj(-15)
            data = block.decompress(body[start:end])
            if len(data) == BLOCK and not block.eof:
                break
            assert len(data) <= BLOCK, "a block that is too long"
            end -= 3
        plain += data
        start = end
    assert crc == zlib.crc32(plain), "CRC32"
    assert size == len(plain) & 0xFFFFFFFF, "ISIZE"
    assert blocks == -(-len(plain) // BLOCK), "number of blocks"
    print(blocks, hashlib.sha256(plain).hexdigest(), hashlib.sha256(image).hexdigest())


if __name__ == "__main__":
    if sys.argv[1] == "archive":
        epoch = int(sys.argv[3]) if len(sys.argv) > 3 else 0
        sys.stdout.buffer.write(archive(os.fsencode(sys.argv[2]), epoch))
    else:
        with open(sys.argv[2], "rb") as file:
            check(file.read())
