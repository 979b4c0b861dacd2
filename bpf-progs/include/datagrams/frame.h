/* The frame of a datagram that leaves: link and IP headers before what the transport has written. */
#pragma once
#include "csum.h"
#include "datagrams/route.h"

#define DEFAULT_TTL 64

/* What stands before the transport's header, bytes. */
static inline __u32 datagram_headers(__u8 family)
{
	return sizeof(struct ethhdr) + (family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

static inline void write_ip4(struct iphdr *ip, const struct datagram_record *r, __be32 from, __u32 total, __u32 id)
{
	word32 *w = (word32 *)ip;

	/* Routers may cut it: nobody here would say it again in smaller pieces (RFC 8085 §3.2). */
	w[0] = (__u32)htons(total) << 16 | (__u32)r->tos << 8 | 0x45;
	w[1] = htons(id & 0xffff);
	w[2] = TRANSPORT_PROTOCOL << 8 | (r->ttl ? r->ttl : DEFAULT_TTL);
	w[3] = from;
	w[4] = r->address[0];
	ip->check = csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static inline void write_ip6(struct ipv6hdr *ip, const struct datagram_record *r, const __be32 *from, __u32 len)
{
	ip->flow = htonl(0x60000000 | (__u32)r->tos << 20);
	ip->payload_len = htons(len);
	ip->nexthdr = TRANSPORT_PROTOCOL;
	ip->hop_limit = r->ttl ? r->ttl : DEFAULT_TTL;
	memcpy(ip->saddr, from, sizeof(ip->saddr));
	memcpy(ip->daddr, r->address, sizeof(ip->daddr));
}

/* Whether `bytes`, all headers included, are not longer than the frame that GEN got, and the route, take. */
static inline int datagram_fits(struct xdp_md *ctx, const struct datagram_route *w, __u32 bytes)
{
	return bytes <= (__u32)(data_end_of(ctx) - data_of(ctx)) && (!w->mtu || bytes <= w->mtu + sizeof(struct ethhdr));
}

static inline void write_macs(__u16 *mac, const struct datagram_route *w)
{
	mac[0] = w->dmac[0], mac[1] = w->dmac[1], mac[2] = w->dmac[2];
	mac[3] = w->smac[0], mac[4] = w->smac[1], mac[5] = w->smac[2];
}
