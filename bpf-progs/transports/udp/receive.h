/* What arrives: to the receive ring of its socket, in the lane that has it. */
#pragma once
#include "datagram.h"

static inline int hand_over(__u32 entry)
{
	count(OtherLane);
	return bpf_redirect_map(&udp_lanes, entry >> ENTRY_LANE_SHIFT, XDP_DROP);
}

static inline int udp_lost(enum udp_count why)
{
	count(why);
	count(InErrors);
	return XDP_DROP;
}

/*
 * Writes the record over the end of the headers, which stand before the payload and are needed no more, and copies both
 * in one pass; the sum that this makes says whether the datagram is as it was sent. What is not stays beyond the end.
 */
static inline int udp_deliver(struct xdp_md *ctx, struct udp_socket *s, __u32 id, const struct datagram *d)
{
	struct datagram_record r = { .len = d->len, .family = d->family, .ttl = d->ttl, .port = d->sport, .tos = d->tos };
	__u32 need = datagram_room(d->len), at = d->payload - sizeof(r), *words = (__u32 *)&r, i;
	__u64 written = 0;
	int sum;

	if (el_stream_rcv_limit(id) - s->received < need) {
		s->drops++;
		return udp_lost(RcvbufErrors);
	}
	memcpy(r.address, d->src, sizeof(r.address));
	r.ifindex = ctx->ingress_ifindex;
	if (bpf_xdp_store_bytes(ctx, at, &r, sizeof(r)))
		return udp_lost(MemErrors);
	sum = el_stream_place(ctx, at, id, s->received, sizeof(r) + d->len);
	if (sum < 0) {
		if (sum == -ENOMEM)
			return udp_lost(MemErrors);
		/* The ring was made now, and smaller than was promised. */
		s->drops++;
		return udp_lost(RcvbufErrors);
	}
	if (d->check) {
		for (i = 0; i < sizeof(r) / 4; i++)
			written += words[i];
		if (csum_fold(udp_header_sum(d->src, d->dst, d->sport, d->dport, d->len, d->check) + sum + csum_fold(written)))
			return udp_lost(InCsumErrors);
	}
	/* First here, then to the stream: a lane that dies between the two says it again. */
	s->received += need;
	el_stream_received(id, s->received);
	count(InDatagrams);
	return XDP_DROP;
}

/* For a port that nobody has: the port's responder answers (RFC 1122 §4.1.3.1), as often as it may. */
static inline int udp_nobody(const struct datagram *d)
{
	struct datagram_address own;

	memcpy(own.address, d->dst, sizeof(own.address));
	if (bpf_map_lookup_elem(&udp_addresses, &own))
		count(NoPorts);
	return XDP_PASS;
}

static inline int udp_take(struct xdp_md *ctx, const struct datagram *d)
{
	__u32 entry = datagram_connected(d), id;
	struct udp_socket *s;

	if (!entry)
		entry = datagram_bound(d);
	if (!entry)
		return udp_nobody(d);
	if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return hand_over(entry);
	id = entry & ENTRY_ID;
	s = socket_of(id);
	if (!s || s->state != SOCKET_OPEN)
		return udp_nobody(d);
	return udp_deliver(ctx, s, id, d);
}
