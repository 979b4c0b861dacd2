/*
 * Router: longest-prefix match (IPv4 and IPv6), TTL or hop limit minus one, both MAC addresses rewritten, out
 * through a devmap. What needs an answer or a decision (TTL exceeded, too big, local, no route) goes up.
 *   router      own tables, filled by the control plane
 *   router_fib  the engine's (kernel's) routes and neighbours through bpf_fib_lookup
 */
#include "parse.h"

enum route_kind { ROUTE_FORWARD, ROUTE_LOCAL, ROUTE_BLACKHOLE };

enum outcome {
	FORWARDED,
	UP_TTL,
	UP_TOO_BIG,
	UP_NO_ROUTE,
	UP_LOCAL,
	UP_NOT_IP,
	DROP_BLACKHOLE,
	DROP_MALFORMED,
	OUTCOMES,
};

struct lpm4 {
	__u32 prefixlen;
	__be32 addr;
};

struct lpm6 {
	__u32 prefixlen;
	__be32 addr[4];
};

struct nexthop {
	__u32 kind;
	__u32 port; /* key of the devmap */
	__u32 mtu;  /* largest IP packet */
	__u8 smac[ETH_ALEN];
	__u8 dmac[ETH_ALEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm4);
	__type(value, __u32); /* number of the next hop */
} routes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm6);
	__type(value, __u32);
} routes6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct nexthop);
} nexthops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32); /* ifindex */
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static inline int verdict(__u32 outcome)
{
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
	return outcome >= DROP_BLACKHOLE ? XDP_DROP : XDP_PASS;
}

/* RFC 1141: the word (ttl, protocol) shrinks by 0x0100, so the complemented sum grows by as much. */
static inline void decrement_ttl(struct iphdr *ip)
{
	__u32 check = ip->check;

	check += htons(0x0100);
	ip->check = (__sum16)(check + (check >= 0xffff));
	ip->ttl -= 1;
}

static inline void age(const struct packet *p)
{
	if (p->ip4)
		decrement_ttl(p->ip4);
	else if (p->ip6)
		p->ip6->hop_limit -= 1;
}

static inline int expired(const struct packet *p)
{
	return p->ip4 ? p->ip4->ttl <= 1 : p->ip6 ? p->ip6->hop_limit <= 1 : 1;
}

static inline __u32 *route(const struct packet *p)
{
	if (p->ip4) {
		struct lpm4 key = { .prefixlen = 32, .addr = p->ip4->daddr };

		return bpf_map_lookup_elem(&routes4, &key);
	}
	if (p->ip6) {
		struct lpm6 key = { .prefixlen = 128 };

		memcpy(key.addr, p->ip6->daddr, 16);
		return bpf_map_lookup_elem(&routes6, &key);
	}
	return NULL;
}

SEC("xdp")
int router(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	enum parse_result parsed;
	struct nexthop *nh;
	struct packet p;
	__u32 *number;

	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_MALFORMED)
		return verdict(DROP_MALFORMED);
	/* Broadcast and multicast are not for routers of this kind. */
	if (parsed == PARSE_NOT_IP || p.eth->h_dest[0] & 1)
		return verdict(UP_NOT_IP);
	number = route(&p);
	if (!number)
		return verdict(UP_NO_ROUTE);
	nh = bpf_map_lookup_elem(&nexthops, number);
	if (!nh)
		return verdict(UP_NO_ROUTE);
	if (nh->kind == ROUTE_LOCAL)
		return verdict(UP_LOCAL);
	if (nh->kind == ROUTE_BLACKHOLE)
		return verdict(DROP_BLACKHOLE);
	if (expired(&p))
		return verdict(UP_TTL);
	if (ip_length(&p) > nh->mtu)
		return verdict(UP_TOO_BIG);

	age(&p);
	memcpy(p.eth->h_dest, nh->dmac, ETH_ALEN);
	memcpy(p.eth->h_source, nh->smac, ETH_ALEN);
	verdict(FORWARDED);
	return bpf_redirect_map(&ports, nh->port, XDP_PASS);
}

SEC("xdp")
int router_fib(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct bpf_fib_lookup fib = {};
	enum parse_result parsed;
	struct packet p;

	parsed = parse_packet(&p, data, end);
	if (parsed == PARSE_MALFORMED)
		return verdict(DROP_MALFORMED);
	if (parsed == PARSE_NOT_IP || p.eth->h_dest[0] & 1)
		return verdict(UP_NOT_IP);
	if (expired(&p))
		return verdict(UP_TTL);
	fib.ifindex = ctx->ingress_ifindex;
	fib.l4_protocol = p.protocol;
	fib.tot_len = ip_length(&p);
	if (p.ip4) {
		fib.family = AF_INET;
		fib.tos = p.ip4->tos;
		fib.ipv4_src = p.ip4->saddr;
		fib.ipv4_dst = p.ip4->daddr;
	} else if (p.ip6) {
		fib.family = AF_INET6;
		fib.flowinfo = p.ip6->flow & htonl(0x0fffffff);
		memcpy(fib.ipv6_src, p.ip6->saddr, 16);
		memcpy(fib.ipv6_dst, p.ip6->daddr, 16);
	}
	switch (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return verdict(DROP_BLACKHOLE);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return verdict(UP_TOO_BIG);
	default:
		return verdict(UP_NO_ROUTE);
	}
	age(&p);
	memcpy(p.eth->h_dest, fib.dmac, ETH_ALEN);
	memcpy(p.eth->h_source, fib.smac, ETH_ALEN);
	verdict(FORWARDED);
	return bpf_redirect(fib.ifindex, 0);
}

license("Dual MIT/GPL");
