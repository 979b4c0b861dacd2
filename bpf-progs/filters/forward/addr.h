/* Addresses of IP and Ethernet, and what changing one does to a checksum. */
#pragma once
#include "csum.h"
#include "net.h"

/* One word of IPv4, four of IPv6; `v6` is a constant wherever these are called. */
static inline int same_addr(const __be32 *a, const volatile __be32 *b, const int v6)
{
	return a[0] == b[0] && (!v6 || (a[1] == b[1] && a[2] == b[2] && a[3] == b[3]));
}

static inline void copy_addr(__be32 *to, const volatile __be32 *from, const int v6)
{
	to[0] = from[0];
	if (v6) {
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
	}
}

static inline __u64 diff_addr(const volatile __be32 *from, const volatile __be32 *to, const int v6)
{
	__u64 diff = csum_diff4(from[0], to[0]);

	if (v6)
		diff += csum_diff4(from[1], to[1]) + csum_diff4(from[2], to[2]) + csum_diff4(from[3], to[3]);
	return diff;
}

/* A difference in 16 bits: to be kept. */
static inline __u16 csum_keep(__u64 diff)
{
	return ~csum_fold(diff);
}

static inline void copy_mac(__u16 *to, const __u16 *from)
{
	*(word32 *)to = *(const word32 *)from;
	to[2] = from[2];
}

static inline int same_mac(const __u16 *a, const __u16 *b)
{
	return *(const word32 *)a == *(const word32 *)b && a[2] == b[2];
}
