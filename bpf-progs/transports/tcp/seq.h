/* Sequence numbers (RFC 9293 §3.4): 32 bits around, so order is the sign of a difference. */
#pragma once
#include "bpf.h"

static inline int before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

static inline int after(__u32 a, __u32 b)
{
	return (__s32)(b - a) < 0;
}

static inline __u32 later_of(__u32 a, __u32 b)
{
	return before(a, b) ? b : a;
}

static inline __u32 least(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

static inline __u32 most(__u32 a, __u32 b)
{
	return a > b ? a : b;
}
