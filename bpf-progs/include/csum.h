/* Incremental checksums: RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'). Words as they lie in memory. */
#pragma once
#include "types.h"

static inline __u32 csum_add32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__u32)(sum + (sum >> 32));
}

static inline __sum16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~sum;
}

/* What changes when a 16-bit or 32-bit word of the covered bytes becomes another. */
static inline __u32 csum_diff2(__u16 from, __u16 to)
{
	return (__u32)(__u16)~from + to;
}

static inline __u32 csum_diff4(__u32 from, __u32 to)
{
	return csum_add32((__u64)(__u32)~from + to);
}

static inline __u32 csum_join(__u32 a, __u32 b)
{
	return csum_add32((__u64)a + b);
}

/* Mends `check` by a difference. */
static inline __sum16 csum_apply(__sum16 check, __u32 diff)
{
	return csum_fold(csum_join((__u16)~check, diff));
}

/* UDP: 0 on the wire says "no checksum", so that is kept, and a computed 0 is sent as ffff. */
static inline __sum16 csum_apply_udp(__sum16 check, __u32 diff)
{
	__sum16 sum;

	if (!check)
		return 0;
	sum = csum_apply(check, diff);
	return sum ? sum : 0xffff;
}
