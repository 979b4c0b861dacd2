/*
 * The path's MTU: what routers tell of it (RFC 1191, RFC 8201), for ten minutes. All packets have DF set, so one that is too big
 * for a link on the way is lost, and whoever loses it says how much that link takes. Nothing is searched for: of a path that drops
 * them and is silent nobody knows more than that calls time out.
 */
#pragma once
#include "slot.h"

#define PATH_NS (600 * 1000 * NS_PER_MS) /* RFC 1191 §6.3 */
/* Below this nobody's word is taken (Linux's ip_rt_min_pmtu, and IPv6's least): TCP has the same. */
#define MTU_FLOOR4 552
#define MTU_FLOOR6 1280

struct homa_path {
	__u64 until_ns;
	__u32 mtu;
	__u32 pad;
};

/* By the peer's address, mapped; of all lanes. */
HOMA_MAP(homa_paths, LRU_HASH, 1024, struct homa_address, struct homa_path);

/* What the path to the peer takes, by a port that takes `mtu`; 0: nobody knows. */
static inline __u32 path_mtu(const __be32 *address, __u32 mtu, __u64 now)
{
	struct homa_address to;
	struct homa_path *path;

	memcpy(to.address, address, sizeof(to.address));
	path = bpf_map_lookup_elem(&homa_paths, &to);
	return path && now < path->until_ns && (!mtu || path->mtu < mtu) ? path->mtu : mtu;
}

/* A router told of that MTU. A larger one is not believed before the smaller is forgotten. */
static inline void path_learned(const __be32 *address, __u32 mtu, __u64 now)
{
	struct homa_path path = { .until_ns = now + PATH_NS, .mtu = mtu };
	struct homa_address to;

	if (path_mtu(address, mtu, now) < mtu)
		return;
	memcpy(to.address, address, sizeof(to.address));
	bpf_map_update_elem(&homa_paths, &to, &path, BPF_ANY);
}

static inline __u32 mtu_floor(__u32 family)
{
	return family == AF_INET ? MTU_FLOOR4 : MTU_FLOOR6;
}
