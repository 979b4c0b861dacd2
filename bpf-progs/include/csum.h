/*
 * Incremental checksums: RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'). Words as they lie in memory. Differences are plain
 * 64-bit sums, so that any number of them costs one addition each and is folded once, where it is applied.
 */
#pragma once
#include "bpf.h"

/* Folds to 16 bits, ends around (RFC 1071), and inverts. */
static inline __sum16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~(sum + (sum >> 16));
}

/* What changes when a 16-bit or 32-bit word of the covered bytes becomes another. */
static inline __u64 csum_diff2(__u16 from, __u16 to)
{
	return (__u64)(__u16)~from + to;
}

static inline __u64 csum_diff4(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

/* Mends `check` by a difference, or by the sum of several. */
static inline __sum16 csum_apply(__sum16 check, __u64 diff)
{
	return csum_fold((__u16)~check + diff);
}

/* UDP: 0 on the wire says "no checksum", so that is kept, and a computed 0 is sent as ffff. */
static inline __sum16 csum_apply_udp(__sum16 check, __u64 diff)
{
	__sum16 sum;

	if (!check)
		return 0;
	sum = csum_apply(check, diff);
	return sum ? sum : 0xffff;
}
