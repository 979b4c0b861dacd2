/*
 * Peers: where their packets go (asked of the engine's routes, remembered for a while) and which priorities they want
 * (CUTOFFS). A table of the lane, direct-mapped by address: two that fall together forget each other, which costs a lookup
 * of the route and one more CUTOFFS.
 */
#pragma once
#include "pmtu.h"

/* Table of the engine's routes that these programs' host has for its own; 0: local and main, as any program. */
const volatile __u32 homa_table = 0;

#define PEERS_SHIFT 9
#define PEERS (1 << PEERS_SHIFT)
#define ROUTE_NS (2000 * NS_PER_MS)

struct homa_peer {
	__be32 to[4]; /* mapped */
	__be32 from[4]; /* IPv4 in word 0 */
	__u64 until_ns;
	__u32 ifindex;
	__u32 mtu;
	__u32 error; /* errno: there is no way for now */
	__u16 dmac[3];
	__u16 smac[3];
	__u32 cutoffs[HOMA_PRIORITIES]; /* longest message of each priority, lowest first; 0 in the first: the usual ones */
	__be16 version;                 /* of them, as the peer gave it */
	__u16 pad;
	__u64 told_ns;                  /* when it was sent our own */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PEERS);
	__type(key, __u32);
	__type(value, struct homa_peer);
} homa_peers SEC(".maps");

static inline struct homa_peer *peer_at(const __be32 *address)
{
	__u32 key = (address[0] ^ address[1] ^ address[2] ^ address[3]) * 0x9e3779b1U >> (32 - PEERS_SHIFT);

	return bpf_map_lookup_elem(&homa_peers, &key);
}

/* The peer's place, made its own. */
static noinline struct homa_peer *peer_of(const __be32 *address NONNULL, __u32 family)
{
	struct homa_peer *p;
	__be32 to[4];

	mapped(to, address, family);
	p = peer_at(to);
	if (p && !same_address(p->to, to)) {
		memset(p, 0, sizeof(*p));
		memcpy(p->to, to, sizeof(p->to));
	}
	return p;
}

enum homa_way { WAY_KNOWN, WAY_NONE, WAY_UNRESOLVED, WAY_ELSEWHERE };

noinline int homa_ask(struct xdp_md *ctx, struct homa_peer *p NONNULL, __u32 family, __u64 now)
{
	__u32 flags = BPF_FIB_LOOKUP_SRC | (homa_table ? BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID : 0);
	struct bpf_fib_lookup f = {};
	int result;

	f.family = family;
	f.l4_protocol = IPPROTO_HOMA;
	f.ifindex = ctx->egress_ifindex;
	f.tbid = homa_table;
	if (family == AF_INET)
		f.ipv4_dst = p->to[3];
	else
		memcpy(f.ipv6_dst, p->to, sizeof(f.ipv6_dst));
	result = bpf_fib_lookup(ctx, &f, sizeof(f), flags);
	p->ifindex = f.ifindex;
	if (result == BPF_FIB_LKUP_RET_NO_NEIGH)
		return WAY_UNRESOLVED;
	p->until_ns = now + ROUTE_NS;
	p->error = result == BPF_FIB_LKUP_RET_SUCCESS ? 0 : result == BPF_FIB_LKUP_RET_UNREACHABLE ? EHOSTUNREACH : ENETUNREACH;
	if (p->error)
		return WAY_NONE;
	memset(p->from, 0, sizeof(p->from));
	if (family == AF_INET)
		p->from[0] = f.ipv4_src;
	else
		memcpy(p->from, f.ipv6_src, sizeof(p->from));
	p->mtu = path_mtu(p->to, f.tot_len, now);
	memcpy(p->dmac, f.dmac, sizeof(p->dmac));
	memcpy(p->smac, f.smac, sizeof(p->smac));
	return WAY_KNOWN;
}

/* The way to the peer, by the port whose frame this is. */
static inline enum homa_way homa_way(struct xdp_md *ctx, struct homa_peer *p, __u32 family)
{
	__u64 now = bpf_ktime_get_ns();

	if (now >= p->until_ns) {
		int way = homa_ask(ctx, p, family, now);

		/* A neighbour behind another port is asked for by that. */
		if (way == WAY_NONE || (way == WAY_UNRESOLVED && p->ifindex == ctx->egress_ifindex))
			return way;
	}
	if (p->error)
		return WAY_NONE;
	return p->ifindex == ctx->egress_ifindex ? WAY_KNOWN : WAY_ELSEWHERE;
}

/* The usual cutoffs of HomaModule: P7 to 200 B, P6 to 2800, P5 to 15,000, P4 all; the others are for what is granted. */
static inline __u32 unscheduled_priority(const struct homa_peer *p, __u32 len)
{
	__u32 i;

	if (!p->cutoffs[0])
		return len <= 200 ? 7 : len <= 2800 ? 6 : len <= 15000 ? 5 : 4;
	for (i = HOMA_PRIORITIES - 1; i; i--) {
		if (len <= p->cutoffs[i])
			return i;
	}
	return 0;
}
