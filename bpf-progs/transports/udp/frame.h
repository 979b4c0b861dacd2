/* The frame of a datagram that leaves: headers before the payload, which is there already. */
#pragma once
#include "socket.h"
#include "datagrams/frame.h"

/* Headers of the longest, before the payload. */
#define HEADERS (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

static inline void write_udp(struct udphdr *udp, const struct udp_socket *s, const struct datagram_record *r, const __be32 *from,
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
static inline __u32 udp_headers(const struct datagram_record *r)
{
	return datagram_headers(r->family) + sizeof(struct udphdr);
}

/* Whether the frame that GEN got, and the route, take it. */
static inline int udp_fits(struct xdp_md *ctx, const struct datagram_record *r, const struct datagram_route *w)
{
	return datagram_fits(ctx, w, udp_headers(r) + r->len);
}

/* Puts the headers before a payload whose sum is `sum`, and cuts the frame to its length. 0: it may go. */
static inline int udp_frame(struct xdp_md *ctx, struct udp_socket *s, const struct datagram_record *r, const struct datagram_route *w,
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
	write_macs(mac, w);
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
