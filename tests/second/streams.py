#!/usr/bin/env python3
"""Compares an image with the raw deflate streams of its blocks, as another build of libdeflate gave them (blocks.c).

streams.py IMAGE.gz STREAMS    prints the number of blocks; exit 1 where a block is another one

The joining (docs/canonical-image.md, section 3) takes one bit from a block's stream, BFINAL of its last deflate block, and adds an
empty stored block. So the stream and what stands in the image differ in exactly one bit, set there and clear here; that
it is the right one is what `canonical.py check` shows, which decompresses each block on its own.
"""
import struct
import sys


def streams(data):
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def one_bit_less(stream, here):
    changed = int.from_bytes(stream, "little") ^ int.from_bytes(here, "little")
    return changed.bit_count() == 1 and int.from_bytes(stream, "little") & changed == changed


def main(image, data):
    body = image[10:-8]
    blocks = list(streams(data))
    at = 0
    for number, stream in enumerate(blocks, 1):
        here = body[at : at + len(stream)]
        at += len(stream)
        if number == len(blocks):
            same = here == stream
        else:
            # The header of the stored block may need a byte more than the last one has left.
            tail = next((tail for tail in (b"\0\0\xff\xff", b"\0\0\0\xff\xff") if body[at:].startswith(tail)), None)
            same = tail is not None and one_bit_less(stream, here)
            at += len(tail or b"")
        if not same:
            sys.exit(f"block {number} of {len(blocks)} is another one")
    if at != len(body):
        sys.exit(f"the image has {len(body) - at} bytes more than its blocks")
    print(len(blocks))


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as image, open(sys.argv[2], "rb") as data:
        main(image.read(), data.read())
