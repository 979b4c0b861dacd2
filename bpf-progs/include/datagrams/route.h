/*
 * The next hop of a destination: asked of the engine's routes (bpf_fib_lookup), and remembered by the lane for a while. A
 * neighbour that is not known is asked for by the lookup itself; the datagram is to wait for it.
 */
#pragma once
#include "datagrams/record.h"

/* Table of the engine's routes that these programs' host has for its own; 0: local and main, as any program. */
const volatile __u32 OWN(_table) = 0;

#define ROUTES 64
#define ROUTE_NS (2000 * NS_PER_MS)

struct datagram_route {
	__be32 to[4];
	__be32 from[4];
	__u64 until_ns;
	__u32 ifindex;
	__u32 mtu;
	__u32 error;  /* errno: there is no way for now */
	__u16 dmac[3];
	__u16 smac[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROUTES);
	__type(key, __u32);
	__type(value, struct datagram_route);
} OWN(_routes) SEC(".maps");

/* The neighbour that is to have a datagram, and the port that it is behind. */
struct datagram_hop {
	__be32 address[4];
	__u32 ifindex;
};

/* Asks the routes. 0: `w` says how to get there, or `error` why not; 1: `hop` does not answer yet. */
static inline int datagram_ask(struct xdp_md *ctx, struct datagram_route *w, const struct datagram_record *r, __u64 now, struct datagram_hop *hop)
{
	__u32 flags = BPF_FIB_LOOKUP_SRC | (OWN(_table) ? BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID : 0);
	struct bpf_fib_lookup p = {};
	int result;

	p.family = r->family;
	p.l4_protocol = TRANSPORT_PROTOCOL;
	p.ifindex = ctx->egress_ifindex;
	p.tbid = OWN(_table);
	if (r->family == AF_INET)
		p.ipv4_dst = r->address[0];
	else
		memcpy(p.ipv6_dst, r->address, sizeof(p.ipv6_dst));
	result = bpf_fib_lookup(ctx, &p, sizeof(p), flags);
	if (result == BPF_FIB_LKUP_RET_NO_NEIGH) {
		hop->ifindex = p.ifindex;
		memset(hop->address, 0, sizeof(hop->address));
		if (p.family == AF_INET)
			hop->address[0] = p.ipv4_dst;
		else
			memcpy(hop->address, p.ipv6_dst, sizeof(hop->address));
		return 1;
	}
	memcpy(w->to, r->address, sizeof(w->to));
	w->until_ns = now + ROUTE_NS;
	w->error = result == BPF_FIB_LKUP_RET_SUCCESS ? 0 : result == BPF_FIB_LKUP_RET_UNREACHABLE ? EHOSTUNREACH : ENETUNREACH;
	if (w->error)
		return 0;
	memset(w->from, 0, sizeof(w->from));
	if (r->family == AF_INET)
		w->from[0] = p.ipv4_src;
	else
		memcpy(w->from, p.ipv6_src, sizeof(w->from));
	w->ifindex = p.ifindex;
	w->mtu = p.tot_len;
	memcpy(w->dmac, p.dmac, sizeof(w->dmac));
	memcpy(w->smac, p.smac, sizeof(w->smac));
	return 0;
}

static inline struct datagram_route *datagram_route_of(const struct datagram_record *r)
{
	__u32 key = (r->address[0] ^ r->address[1] ^ r->address[2] ^ r->address[3]) * 0x9e3779b1U >> 26;

	return bpf_map_lookup_elem(&OWN(_routes), &key);
}
_Static_assert(ROUTES == 1 << (32 - 26), "a hash of six bits names a route");

/* The way of a datagram, perhaps none (`error`); NULL: `hop` is asked for, and does not answer yet. */
static inline struct datagram_route *datagram_way(struct xdp_md *ctx, const struct datagram_record *r, __u64 now, struct datagram_hop *hop)
{
	struct datagram_route *w = datagram_route_of(r);

	if (!w)
		return 0;
	if (now < w->until_ns && same_address(w->to, r->address))
		return w;
	return datagram_ask(ctx, w, r, now, hop) ? 0 : w;
}
