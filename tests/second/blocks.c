/*
 * Compresses standard input as docs/canonical-image.md section 3 cuts it: blocks of 512 KiB, each on its own, by libdeflate.
 * Writes for each block the size of its raw deflate stream (4 bytes, little-endian) and the stream, before any joining.
 *
 * tests/other-arch.sh builds it, with libdeflate's own source, for other architectures.
 *
 * Usage: blocks LEVEL <ARCHIVE >STREAMS
 */
#include <stdio.h>
#include <stdlib.h>

#include "libdeflate.h"

#define BLOCK 524288

int main(int argc, char **argv)
{
	static unsigned char in[BLOCK];
	struct libdeflate_compressor *compressor;
	unsigned char *out;
	size_t bound, size;

	if (argc != 2 || !(compressor = libdeflate_alloc_compressor(atoi(argv[1])))) {
		fprintf(stderr, "usage: blocks LEVEL <ARCHIVE >STREAMS\n");
		return 2;
	}
	bound = libdeflate_deflate_compress_bound(compressor, BLOCK);
	out = malloc(bound);
	if (!out)
		return 1;
	while ((size = fread(in, 1, BLOCK, stdin)) > 0) {
		size_t length = libdeflate_deflate_compress(compressor, in, size, out, bound);
		int shift;

		if (length == 0)
			return 1;
		for (shift = 0; shift < 32; shift += 8)
			putchar((int)(length >> shift & 0xff));
		if (fwrite(out, 1, length, stdout) != length)
			return 1;
	}
	return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
