/* The frame of a datagram that leaves: headers before the payload, which is there already. */
#pragma once
#include "csum.h"
#include "route.h"

#define DEFAULT_TTL 64
/* Headers of the longest, before the payload. */
#define HEADERS (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

static inline void write_ip4(struct iphdr *ip, const struct udp_record *r, __be32 from, __u32 total, __u32 id)
{
	word32 *w = (word32 *)ip;

	/* Routers may cut it: nobody here would say it again in smaller pieces (RFC 8085 §3.2). */
	w[0] = (__u32)htons(total) << 16 | (__u32)r->tos << 8 | 0x45;
	w[1] = htons(id & 0xffff);
	w[2] = IPPROTO_UDP << 8 | (r->ttl ? r->ttl : DEFAULT_TTL);
	w[3] = from;
	w[4] = r->address[0];
	ip->check = csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static inline void write_ip6(struct ipv6hdr *ip, const struct udp_record *r, const __be32 *from, __u32 len)
{
	ip->flow = htonl(0x60000000 | (__u32)r->tos << 20);
	ip->payload_len = htons(len);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = r->ttl ? r->ttl : DEFAULT_TTL;
	memcpy(ip->saddr, from, sizeof(ip->saddr));
	memcpy(ip->daddr, r->address, sizeof(ip->daddr));
}

static inline void write_udp(struct udphdr *udp, const struct udp_socket *s, const struct udp_record *r, const __be32 *from,
			     __u32 payload_sum)
{
	__sum16 check;

	check = csum_fold(udp_header_sum(from, r->address, s->port, r->port, r->len, 0) + payload_sum);
	udp->source = s->port;
	udp->dest = r->port;
	udp->len = htons(sizeof(*udp) + r->len);
	udp->check = check ? check : 0xffff;
}

/* Where the payload begins. */
static inline __u32 udp_headers(const struct udp_record *r)
{
	return sizeof(struct ethhdr) + (r->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct udphdr);
}

/* Whether the frame that GEN got, and the route, take it. */
static inline int udp_fits(struct xdp_md *ctx, const struct udp_record *r, const struct udp_route *w)
{
	__u32 bytes = udp_headers(r) + r->len;

	return bytes <= (__u32)(data_end_of(ctx) - data_of(ctx)) && (!w->mtu || bytes <= w->mtu + sizeof(struct ethhdr));
}

/* Puts the headers before a payload whose sum is `sum`, and cuts the frame to its length. 0: it may go. */
static inline int udp_frame(struct xdp_md *ctx, struct udp_socket *s, const struct udp_record *r, const struct udp_route *w,
			    __u32 sum)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u32 bytes = udp_headers(r) + r->len;
	__u16 *mac = data;
	__be32 from[4];

	if (data + HEADERS > end)
		return -1;
	memcpy(from, s->local, sizeof(from));
	if (!(from[0] | from[1] | from[2] | from[3]))
		memcpy(from, w->from, sizeof(from));
	mac[0] = w->dmac[0], mac[1] = w->dmac[1], mac[2] = w->dmac[2];
	mac[3] = w->smac[0], mac[4] = w->smac[1], mac[5] = w->smac[2];
	if (r->family == AF_INET) {
		mac[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), r, from[0], bytes - sizeof(struct ethhdr), s->ip_id++);
		write_udp(data + sizeof(struct ethhdr) + sizeof(struct iphdr), s, r, from, sum);
	} else {
		mac[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), r, from, sizeof(struct udphdr) + r->len);
		write_udp(data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr), s, r, from, sum);
	}
	return bpf_xdp_adjust_tail(ctx, (__s32)bytes - (__s32)bpf_xdp_get_buff_len(ctx)) ? -1 : 0;
}
