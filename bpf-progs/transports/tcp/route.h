/*
 * The next hop: asked of the engine's routes (bpf_fib_lookup), kept in the flow for a while. A neighbour that is not
 * known is asked for by the lookup itself; until it answers, GEN makes nothing and a timer tries again.
 */
#pragma once
#include "handshake.h"

/* IPv4: who looks for the path's MTU asks routers not to cut, unless they asked for less than we send. */
static inline int dont_fragment(const struct tcp_flow *f)
{
	return !(f->opt.flags & TCP_OPT_NO_PMTUD || f->flags & FLOW_FRAGMENTS);
}

/* IPv6: each connection its own, which says nothing of others (RFC 6437 §2). */
static inline __u32 flow_label(const struct tcp_flow *f)
{
	return f->iss * 0x9e3779b1U >> 12;
}

/* Table of the engine's routes that these programs' host has for its own; 0: local and main, as any program. */
const volatile __u32 tcp_table = 0;

#define ROUTE_NS (2 * NS_PER_S)
#define NEIGHBOUR_NS (5 * NS_PER_MS)
#define UNANSWERED_NS (3 * NS_PER_S)

/* 1: the flow's addresses are good and this is its port. 0: not now. */
noinline int tcp_route(struct xdp_md *ctx, struct tcp_flow *f NONNULL, __u64 now)
{
	struct bpf_fib_lookup p = {};
	int result;

	if (now < f->route_ns)
		return 1;
	path_known(f, now);
	p.family = f->family;
	p.l4_protocol = IPPROTO_TCP;
	p.sport = f->lport;
	p.dport = f->rport;
	p.ifindex = f->ifindex;
	if (f->family == AF_INET) {
		p.ipv4_src = f->local[0];
		p.ipv4_dst = f->remote[0];
	} else {
		memcpy(p.ipv6_src, f->local, sizeof(p.ipv6_src));
		memcpy(p.ipv6_dst, f->remote, sizeof(p.ipv6_dst));
	}
	p.tbid = tcp_table;
	result = bpf_fib_lookup(ctx, &p, sizeof(p), tcp_table ? BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID : 0);
	if (result == BPF_FIB_LKUP_RET_SUCCESS) {
		memcpy(f->dmac, p.dmac, sizeof(f->dmac));
		memcpy(f->smac, p.smac, sizeof(f->smac));
		f->route_ns = now + ROUTE_NS;
		f->flags |= FLOW_ROUTED;
		f->link_mtu = p.tot_len;
		if (p.tot_len && (!f->mtu || p.tot_len < f->mtu)) {
			f->mtu = p.tot_len;
			mss_sync(f);
		}
		if (p.ifindex == f->ifindex)
			return 1;
		/* Another port: GEN comes back with a frame of its own. */
		f->ifindex = p.ifindex;
		el_stream_route(f->id, p.ifindex, TCP_TRANSPORT);
		el_ready(f->id);
		return 0;
	}
	/* What answered once will do: a neighbour that is being asked again, or the station that the SYN came from. */
	if (f->flags & (FLOW_ROUTED | FLOW_PASSIVE)) {
		f->route_ns = now + (result == BPF_FIB_LKUP_RET_NO_NEIGH ? NEIGHBOUR_NS : ROUTE_NS);
		return 1;
	}
	count(NoRoute);
	/* Nobody answers for the address: three requests, a second apart (RFC 1122 §2.3.2.1, RFC 4861 §10). */
	if (result == BPF_FIB_LKUP_RET_NO_NEIGH && now - f->stuck_ns < UNANSWERED_NS) {
		due(f, TIMER_PACE, now + NEIGHBOUR_NS);
		/* The connection's own timeout runs from here. */
		if (f->xmit == XMIT_NONE)
			xmit_due(f, XMIT_RTO, now + rto_ns(f));
		return 0;
	}
	tcp_done(f, result == BPF_FIB_LKUP_RET_NOT_FWDED ? 101 /* ENETUNREACH */ : 113 /* EHOSTUNREACH */);
	return 0;
}
