/* What leaves: the next datagram of a send ring, or one that waited for its neighbour, in the frame that GEN got. */
#pragma once
#include "datagram.h"
#include "unresolved.h"

/* The stream's memory goes when the application lets go of it, too. */
static inline int udp_free(struct udp_socket *s, __u32 id)
{
	if (s->parked)
		udp_forget(id);
	s->state = SOCKET_FREE;
	el_stream_event(id, EL_EV_HUP);
	el_stream_free(id);
	return XDP_ABORTED;
}

/* The first `bytes` of what waits are done with. XDP_TX: another run. */
static inline int udp_done(struct udp_socket *s, __u32 id, __u32 bytes)
{
	s->sent += bytes;
	el_stream_acked(id, s->sent);
	return el_stream_snd_end(id) != s->sent || s->state == SOCKET_CLOSING ? XDP_TX : XDP_PASS;
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

/* Another port has it to be: GEN comes back with a frame of that. */
static inline int udp_elsewhere(__u32 id, __u32 ifindex)
{
	el_stream_route(id, ifindex, TRANSPORT_PROTOCOL);
	el_ready(id);
	return XDP_ABORTED;
}

/* One that waited is not to be sent any more. */
static inline int udp_give_up(struct udp_socket *s, __u32 id, struct udp_slot *c, enum udp_count why, __u32 error)
{
	c->socket = 0;
	count(why);
	udp_fail(s, id, error);
	el_ready(id);
	return XDP_ABORTED;
}

/* Makes one of those that waited, if its neighbour has answered. Negative: none, and the ring has its turn. */
static inline int udp_unpark(struct xdp_md *ctx, struct udp_socket *s, __u32 id, __u64 now)
{
	struct udp_slots *p = udp_slots_here();
	struct udp_payload *payload;
	struct datagram_record r;
	struct datagram_route *w;
	struct datagram_hop hop;
	struct udp_slot *c;
	__u32 i;

	if (!p)
		return -1;
	i = udp_next(p, id);
	if (i >= SLOTS) {
		s->parked = 0;
		return -1;
	}
	udp_later(id);
	c = &p->slot[i];
	s->look_ns = c->look_ns;
	if (now < c->look_ns)
		return -1;
	payload = bpf_map_lookup_elem(&udp_payloads, &i);
	r = c->record;
	w = datagram_way(ctx, &r, now, &hop);
	if (!w && now - c->since_ns < UNANSWERED_NS) {
		udp_look_at(p, id, r.address, now + NEIGHBOUR_NS);
		/* Those of another neighbour may be due, too. */
		el_ready(id);
		return -1;
	}
	if (!w)
		return udp_give_up(s, id, c, OutNoRoutes, EHOSTUNREACH);
	if (w->error)
		return udp_give_up(s, id, c, OutNoRoutes, w->error);
	if (w->ifindex != ctx->egress_ifindex)
		return udp_elsewhere(id, w->ifindex);
	if (!payload || r.len > sizeof(payload->bytes) || !udp_fits(ctx, &r, w))
		return udp_give_up(s, id, c, OutTooLong, EMSGSIZE);
	if (r.len && bpf_xdp_store_bytes(ctx, udp_headers(&r), payload->bytes, r.len))
		return udp_give_up(s, id, c, OutTooLong, EMSGSIZE);
	c->socket = 0;
	if (udp_frame(ctx, s, &r, w, c->sum))
		return XDP_ABORTED;
	count(OutDatagrams);
	return XDP_TX;
}

/* Takes the next datagram out of the ring, to wait for its neighbour in a slot. The run ends: the next one begins with what follows it. */
static inline int udp_park(struct xdp_md *ctx, struct udp_socket *s, __u32 id, const struct datagram_record *r,
			   const struct datagram_hop *hop, __u64 now)
{
	struct udp_slots *p = udp_slots_here();
	__u32 room = datagram_room(r->len), i, len = r->len;
	struct udp_payload *payload;
	struct udp_slot *c;
	int sum;

	if (!p)
		return XDP_ABORTED;
	if (len > (__u32)(data_end_of(ctx) - data_of(ctx)) || len > sizeof(payload->bytes))
		return udp_skip(s, id, room, OutTooLong, EMSGSIZE);
	sum = el_stream_fetch(ctx, 0, id, s->sent + sizeof(*r), len);
	if (sum < 0)
		return udp_nonsense(s, id, room);
	i = udp_slot_for(p, hop->address, now);
	payload = bpf_map_lookup_elem(&udp_payloads, &i);
	if (!payload || i >= SLOTS)
		return XDP_ABORTED;
	c = &p->slot[i];
	if (c->socket)
		count(UnresolvedDiscards);
	c->socket = 0;
	/* Before it is in the slot: a lane that dies between the two loses it, and does not send it twice. */
	s->sent += room;
	s->parked |= udp_bit(r->address);
	s->look_ns = 0;
	if (len && bpf_xdp_load_bytes(ctx, 0, payload->bytes, len))
		return XDP_ABORTED;
	c->order = p->order++;
	c->since_ns = p->since_ns;
	c->look_ns = now + NEIGHBOUR_NS;
	memcpy(c->hop, hop->address, sizeof(c->hop));
	c->record = *r;
	c->sum = sum;
	c->socket = id + 1;
	udp_later(id);
	el_stream_acked(id, s->sent);
	if (el_stream_snd_end(id) != s->sent)
		el_ready(id);
	return XDP_ABORTED;
}

/* Whether others to that address waited: they go first. */
static inline int udp_before(struct udp_socket *s, __u32 id, const __be32 *address)
{
	struct udp_slots *p = udp_slots_here();

	if (!p || !udp_look_at(p, id, address, 0))
		return 0;
	s->look_ns = 0;
	el_ready(id);
	return 1;
}

/* Makes the next datagram of the `waiting` bytes in the ring. */
static inline int udp_send(struct xdp_md *ctx, struct udp_socket *s, __u32 id, __u32 waiting, __u64 now)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct datagram_hop hop = {};
	struct datagram_record r;
	struct datagram_route *w;
	__u32 room;
	int sum;

	if (data + HEADERS > end)
		return XDP_ABORTED;
	if (waiting < sizeof(r) || el_stream_fetch(ctx, 0, id, s->sent, sizeof(r)) < 0)
		return udp_nonsense(s, id, waiting);
	memcpy(&r, data, sizeof(r));
	room = datagram_room(r.len);
	if (r.len > 0xffff || room > waiting || (r.family != AF_INET && r.family != AF_INET6) ||
	    (s->family && s->family != r.family) ||
	    (r.family == AF_INET && (r.address[1] | r.address[2] | r.address[3])))
		return udp_nonsense(s, id, waiting);
	w = datagram_way(ctx, &r, now, &hop);
	if (!w)
		return hop.ifindex == ctx->egress_ifindex ? udp_park(ctx, s, id, &r, &hop, now) : udp_elsewhere(id, hop.ifindex);
	if (w->error)
		return udp_skip(s, id, room, OutNoRoutes, w->error);
	if (s->parked & udp_bit(r.address) && udp_before(s, id, r.address))
		return XDP_ABORTED;
	if (w->ifindex != ctx->egress_ifindex)
		return udp_elsewhere(id, w->ifindex);
	if (!udp_fits(ctx, &r, w))
		return udp_skip(s, id, room, OutTooLong, EMSGSIZE);
	sum = el_stream_fetch(ctx, udp_headers(&r), id, s->sent + sizeof(r), r.len);
	if (sum < 0)
		return udp_nonsense(s, id, waiting);
	if (udp_frame(ctx, s, &r, w, sum))
		return XDP_ABORTED;
	count(OutDatagrams);
	return udp_done(s, id, room);
}
