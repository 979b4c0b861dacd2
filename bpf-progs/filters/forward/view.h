/*
 * Where things are in a packet, as numbers. Pointers of every path through the parser would each be followed to the
 * end by a verifier; numbers that come out of a global function are all alike to it, so it follows one.
 */
#pragma once
#include "parse.h"

#define MAX_OFFSET 0x7ff

enum view_kind {
	VIEW_PORTS,     /* TCP or UDP with its ports */
	VIEW_ICMP,      /* ICMP or ICMPv6, whole */
	VIEW_LATER,     /* a later fragment of TCP or UDP */
	VIEW_OTHER,     /* IP, and none of these */
	VIEW_NOT_IP,
	VIEW_MALFORMED,
};

struct view {
	__u32 ip; /* offsets from the start of the packet */
	__u32 l4;
	__u32 l4_len;   /* by the IP header */
	__u32 fragment; /* IPv6: of the fragment header */
	__u8 kind;
	__u8 v6;
	__u8 protocol;
	__u8 fragmented;
	__u8 later;      /* not the first fragment */
	__u8 strange;    /* not to be touched */
	__u16 pad;
};

static inline __u32 least_l4(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
}

/* IPv4 at `v->ip`. 0: cut short or lying about lengths. */
static inline int view_ip4(struct view *v, void *data, void *end)
{
	struct iphdr *ip = data + (v->ip & MAX_OFFSET);
	__u32 header, total;

	if ((void *)(ip + 1) > end)
		return 0;
	header = ip->ihl * 4;
	total = ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header || v->ip + total > (__u32)(end - data))
		return 0;
	v->l4 = v->ip + header;
	v->l4_len = total - header;
	v->protocol = ip->protocol;
	v->fragmented = (ip->frag_off & (IP_OFFSET_MASK | IP_MORE)) != 0;
	v->later = (ip->frag_off & IP_OFFSET_MASK) != 0;
	return 1;
}

/* IPv6 extension headers: where they begin, and what was found behind them. */
struct chain {
	__u32 at; /* in: the first; out: what the last one carries */
	__u32 until;
	__u32 fragment; /* of the fragment header, 0: none */
	__u8 next;
	__u8 later;
	__u8 strange;
	__u8 pad;
};

/* Walks them by copies, which need no proof for each way; global: verified once. 0: cut short. */
noinline int walk_chain(struct xdp_md *ctx, struct chain *c)
{
	struct exthdr ext;
	int i;

	if (!c)
		return 0;
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		if (c->next != IPPROTO_HOPOPTS && c->next != IPPROTO_ROUTING && c->next != IPPROTO_DSTOPTS &&
		    c->next != IPPROTO_FRAGMENT && c->next != IPPROTO_MH)
			break;
		if (c->at + sizeof(ext) > c->until || bpf_xdp_load_bytes(ctx, c->at, &ext, sizeof(ext)))
			return 0;
		if (c->next == IPPROTO_FRAGMENT) {
			c->fragment = c->at;
			c->at += sizeof(ext);
			if (ext.frag_off & htons(0xfff8)) {
				c->later = 1;
				c->next = ext.nexthdr;
				break;
			}
		} else {
			/* A routing header with segments left: the checksum covers another address than the header's. */
			if (c->next == IPPROTO_ROUTING && ext.frag_off >> 8)
				c->strange = 1;
			c->at += (ext.len + 1) * 8;
		}
		c->next = ext.nexthdr;
	}
	return c->at <= c->until;
}

/* IPv6 at `v->ip` and its extension headers. 0: as above. */
static inline int view_ip6(struct view *v, struct xdp_md *ctx, void *data, void *end)
{
	struct ipv6hdr *ip = data + (v->ip & MAX_OFFSET);
	struct chain c = {};

	v->v6 = 1;
	if ((void *)(ip + 1) > end || (ip->flow & htonl(0xf0000000)) != htonl(0x60000000))
		return 0;
	c.at = v->ip + sizeof(*ip);
	c.until = c.at + ntohs(ip->payload_len);
	c.next = ip->nexthdr;
	if (c.until > (__u32)(end - data) || !walk_chain(ctx, &c))
		return 0;
	v->fragment = c.fragment;
	v->fragmented = c.fragment != 0;
	v->later = c.later;
	v->strange = c.strange;
	v->l4 = c.at;
	v->l4_len = c.until - c.at;
	v->protocol = c.next;
	return 1;
}

/* Offset and protocol of what the link header and at most two VLAN tags carry. */
static inline __be16 view_link(struct view *v, struct xdp_md *ctx, void *data, void *end)
{
	struct ethhdr *eth = data;
	struct vlanhdr tag;
	__be16 proto;
	int i;

	v->ip = sizeof(*eth);
	if ((void *)(eth + 1) > end)
		return 0;
	proto = eth->h_proto;
	for (i = 0; i < MAX_VLANS; i++) {
		if (proto != htons(ETH_P_8021Q) && proto != htons(ETH_P_8021AD))
			break;
		if (bpf_xdp_load_bytes(ctx, v->ip, &tag, sizeof(tag)))
			return 0;
		proto = tag.proto;
		v->ip += sizeof(tag);
	}
	return proto;
}

/* The view of any packet. */
noinline int view_packet(struct xdp_md *ctx, struct view *v)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__be16 proto;

	if (!v)
		return 0;
	memset(v, 0, sizeof(*v));
	proto = view_link(v, ctx, data, end);
	v->kind = VIEW_NOT_IP;
	if (proto && proto != htons(ETH_P_IP) && proto != htons(ETH_P_IPV6))
		return 0;
	v->kind = VIEW_MALFORMED;
	if (!proto || !(proto == htons(ETH_P_IP) ? view_ip4(v, data, end) : view_ip6(v, ctx, data, end)))
		return 0;
	v->kind = VIEW_OTHER;
	/* Offsets are masked where they are used, so what lies beyond is nothing that we would find. */
	if (v->strange || v->l4 > MAX_OFFSET)
		return 0;
	if (has_ports(v->protocol)) {
		if (v->later)
			v->kind = VIEW_LATER;
		else
			v->kind = v->l4_len < least_l4(v->protocol) ? VIEW_MALFORMED : VIEW_PORTS;
	} else if (v->protocol == (v->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) && !v->fragmented) {
		v->kind = VIEW_ICMP;
	}
	return 0;
}

/* The plain packets, most by far: no tag, no option, no extension, no fragment. 0: ask view_packet. */
static inline int view_plain(struct view *v, void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 total;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end)
		return 0;
	v->ip = sizeof(*eth);
	v->fragment = 0;
	v->fragmented = 0;
	v->kind = VIEW_PORTS;
	if (eth->h_proto == htons(ETH_P_IP)) {
		total = ntohs(ip->tot_len);
		if (ip->version != 4 || ip->ihl != 5 || ip->frag_off & (IP_OFFSET_MASK | IP_MORE) || !has_ports(ip->protocol))
			return 0;
		v->v6 = 0;
		v->protocol = ip->protocol;
		v->l4 = sizeof(*eth) + sizeof(*ip);
		v->l4_len = total - sizeof(*ip);
	} else {
		struct ipv6hdr *ip6 = (void *)ip;

		if (eth->h_proto != htons(ETH_P_IPV6) || (void *)(ip6 + 1) > end)
			return 0;
		total = ntohs(ip6->payload_len) + sizeof(*ip6);
		if ((ip6->flow & htonl(0xf0000000)) != htonl(0x60000000) || !has_ports(ip6->nexthdr))
			return 0;
		v->v6 = 1;
		v->protocol = ip6->nexthdr;
		v->l4 = sizeof(*eth) + sizeof(*ip6);
		v->l4_len = total - sizeof(*ip6);
	}
	/* What is cut short is told from what is not by the thorough parser. */
	if (v->l4_len > 0xffff || (__u32)(end - data) < v->l4 + v->l4_len ||
	    v->l4_len < least_l4(v->protocol))
		return 0;
	return 1;
}
