/* Jenkins' lookup3 for whole words (the kernel's jhash2): flow hashes for tables and rings. */
#pragma once
#include "bpf.h"

#define rol32(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

#define jhash_mix(a, b, c) do { \
	a -= c; a ^= rol32(c, 4); c += b; \
	b -= a; b ^= rol32(a, 6); a += c; \
	c -= b; c ^= rol32(b, 8); b += a; \
	a -= c; a ^= rol32(c, 16); c += b; \
	b -= a; b ^= rol32(a, 19); a += c; \
	c -= b; c ^= rol32(b, 4); b += a; \
} while (0)

#define jhash_final(a, b, c) do { \
	c ^= b; c -= rol32(b, 14); \
	a ^= c; a -= rol32(c, 11); \
	b ^= a; b -= rol32(a, 25); \
	c ^= b; c -= rol32(b, 16); \
	a ^= c; a -= rol32(c, 4); \
	b ^= a; b -= rol32(a, 14); \
	c ^= b; c -= rol32(b, 24); \
} while (0)

#define JHASH_INITVAL 0xdeadbeef

static inline __u32 jhash_3words(__u32 a, __u32 b, __u32 c, __u32 seed)
{
	__u32 start = JHASH_INITVAL + (3 << 2) + seed;

	a += start;
	b += start;
	c += start;
	jhash_final(a, b, c);
	return c;
}

/* Four words: an IPv6 address. */
static inline __u32 jhash_addr(const __u32 *k, __u32 seed)
{
	__u32 a = JHASH_INITVAL + (4 << 2) + seed, b = a, c = a;

	a += k[0];
	b += k[1];
	c += k[2];
	jhash_mix(a, b, c);
	a += k[3];
	jhash_final(a, b, c);
	return c;
}
