/* What leaves: the next datagram of a send ring, in the frame that GEN got. */
#pragma once
#include "csum.h"
#include "datagram.h"
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

/* The stream's memory goes when the application lets go of it, too. */
static inline int udp_free(struct udp_socket *s, __u32 id)
{
	s->state = UDP_FREE;
	el_stream_event(id, EL_EV_HUP);
	el_stream_free(id);
	return XDP_ABORTED;
}

/* The first `bytes` of what waits are done with. XDP_TX: another run. */
static inline int udp_done(struct udp_socket *s, __u32 id, __u32 bytes)
{
	s->sent += bytes;
	el_stream_acked(id, s->sent);
	return el_stream_snd_end(id) != s->sent || s->state == UDP_CLOSING ? XDP_TX : XDP_PASS;
}

/* The datagram cannot be sent. Nothing goes out, and the run ends: the next one begins with what follows it. */
static inline int udp_skip(struct udp_socket *s, __u32 id, __u32 bytes, enum udp_count why, __u32 error)
{
	count(why);
	udp_fail(s, id, error);
	if (udp_done(s, id, bytes) == XDP_TX)
		el_ready(id);
	return XDP_ABORTED;
}

/* What stands in the ring is no datagram: the application wrote there what it should not. All of it goes. */
static inline int udp_nonsense(struct udp_socket *s, __u32 id, __u32 bytes)
{
	return udp_skip(s, id, bytes, SndbufErrors, EPROTO);
}

/* Makes the next datagram of the `waiting` bytes in the ring. */
static inline int udp_send(struct xdp_md *ctx, struct udp_socket *s, __u32 id, __u32 waiting, __u64 now)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct udp_record r;
	struct udp_route *w;
	__u32 l4, bytes, room;
	__be32 from[4];
	__u16 *mac = data;
	int sum;

	if (data + HEADERS > end)
		return XDP_ABORTED;
	if (waiting < sizeof(r) || el_stream_fetch(ctx, 0, id, s->sent, sizeof(r)) < 0)
		return udp_nonsense(s, id, waiting);
	memcpy(&r, data, sizeof(r));
	room = udp_room(r.len);
	if (r.len > 0xffff || room > waiting || (r.family != AF_INET && r.family != AF_INET6) ||
	    (s->family && s->family != r.family) ||
	    (r.family == AF_INET && (r.address[1] | r.address[2] | r.address[3])))
		return udp_nonsense(s, id, waiting);
	w = udp_way(ctx, s, &r, now);
	if (!w) {
		udp_later(id);
		return XDP_ABORTED;
	}
	if (w->error)
		return udp_skip(s, id, room, OutNoRoutes, w->error);
	if (w->ifindex != ctx->egress_ifindex) {
		/* Another port: GEN comes back with a frame of its own. */
		el_stream_route(id, w->ifindex, UDP_TRANSPORT);
		el_ready(id);
		return XDP_ABORTED;
	}
	l4 = sizeof(struct ethhdr) + (r.family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	bytes = l4 + sizeof(struct udphdr) + r.len;
	if (bytes > (__u32)(end - data) || (w->mtu && bytes > w->mtu + sizeof(struct ethhdr)))
		return udp_skip(s, id, room, OutTooLong, EMSGSIZE);
	memcpy(from, s->local, sizeof(from));
	if (!(from[0] | from[1] | from[2] | from[3]))
		memcpy(from, w->from, sizeof(from));
	sum = el_stream_fetch(ctx, l4 + sizeof(struct udphdr), id, s->sent + sizeof(r), r.len);
	if (sum < 0)
		return udp_nonsense(s, id, waiting);
	mac[0] = w->dmac[0], mac[1] = w->dmac[1], mac[2] = w->dmac[2];
	mac[3] = w->smac[0], mac[4] = w->smac[1], mac[5] = w->smac[2];
	if (r.family == AF_INET) {
		mac[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), &r, from[0], bytes - sizeof(struct ethhdr), s->ip_id++);
		write_udp(data + sizeof(struct ethhdr) + sizeof(struct iphdr), s, &r, from, sum);
	} else {
		mac[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), &r, from, bytes - l4);
		write_udp(data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr), s, &r, from, sum);
	}
	if (bpf_xdp_adjust_tail(ctx, (__s32)bytes - (__s32)(end - data)))
		return XDP_ABORTED;
	count(OutDatagrams);
	return udp_done(s, id, room);
}
