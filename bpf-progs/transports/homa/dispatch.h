/* Whose a packet is, and what is to be done with it. */
#pragma once
#include "ack.h"

static inline int bad(enum homa_count why)
{
	count(why);
	return XDP_DROP;
}

/* ── clients ── */

/* Times that a request is begun again, 5 to 10 ms apart, at a server that has no room for it. */
#define ROOM_TRIES 20

/* Something else was said of the call, or it is sent again, since the server had no room for it. */
static inline void homa_lives(struct homa_rpc *r)
{
	if (r->no_room)
		r->no_room = NO_ROOM_BEFORE;
}

/* The server does not know the call: it never heard of it, or lost it, or refuses it. */
noinline int client_unknown(struct homa_rpc *r NONNULL, __u32 id, const struct homa_packet *p NONNULL)
{
	__u8 flags = is_marked(p) ? p->h.common.flags : 0;

	count(UnknownsIn);
	if (r->phase == PHASE_REST)
		return XDP_DROP;
	if (r->phase == PHASE_IN || r->known || flags & UNKNOWN_RESET) {
		count(Refused);
		homa_end(r, id, ECONNRESET);
		return XDP_DROP;
	}
	/* HomaModule says the same, without flags, of requests that were lost, of ports that nobody has and of calls that it gave up: only a flag
	 * is sure that nothing was executed. */
	if (flags & UNKNOWN_REFUSED || ++r->tries > (r->no_room ? ROOM_TRIES : 8)) {
		count(Refused);
		homa_end(r, id, flags & UNKNOWN_REFUSED ? ECONNREFUSED : r->no_room == NO_ROOM_NOW ? ENOBUFS : ECONNRESET);
		return XDP_DROP;
	}
	/*
	 * Servers remember what they executed for LIFE_NS. Ticks are not counted while this host stands still, so a call may be older than
	 * that: it is not begun again.
	 */
	if (r->sent_ns && (__u64)bpf_ktime_get_ns() - r->sent_ns > LIFE_NS / 2) {
		count(Timeouts);
		homa_end(r, id, ETIMEDOUT);
		return XDP_DROP;
	}
	r->heard = 1;
	homa_lives(r);
	spans_clear(r);
	if (r->out_next)
		el_intervals_add(&r->spans, 0, r->out_next);
	else
		r->begun = 0;
	r->asked_priority = HOMA_CONTROL_PRIORITY;
	el_ready(id);
	return XDP_DROP;
}

/* For a call that is no more, or never was. */
static inline int client_stranger(struct xdp_md *ctx, const struct homa_packet *p, int older)
{
	if (p->h.common.type == HOMA_DATA && !homa_sound(ctx, p))
		return bad(CsumErrors);
	if (from_nobody(p))
		return bad(BadPackets);
	switch (p->h.common.type) {
	case HOMA_NEED_ACK:
		count(NeedAcksIn);
		return homa_turn(ctx, p, HOMA_ACK, 0);
	case HOMA_DATA:
		/* A duplicate, of what the server may still keep; or a call that was given up. */
		return older ? homa_turn(ctx, p, HOMA_ACK, 0) : homa_turn(ctx, p, HOMA_RPC_UNKNOWN, 0);
	case HOMA_RESEND:
		return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, 0);
	default:
		return XDP_DROP;
	}
}

static inline int client_data(struct xdp_md *ctx, struct homa_rpc *r, __u32 id, const struct homa_packet *p)
{
	struct homa_part d;

	count(DataIn);
	if (!part_of(p, &d))
		return bad(BadPackets);
	if (r->phase == PHASE_REST)
		return bad(Duplicates);
	d.fresh = r->phase == PHASE_OUT;
	/* What answers a request that was not sent answers something else. */
	if (d.fresh && !r->begun)
		return bad(BadPackets);
	return homa_take_data(ctx, r, id, p, &d);
}

static inline int to_client(struct xdp_md *ctx, const struct homa_packet *p)
{
	__u32 id = ID_SLOT(p->id);
	struct homa_rpc *r = rpc_of(id);

	if (!r || r->state != SLOT_CLIENT || r->port != p->h.common.dport) {
		if (!is_own(p))
			return XDP_PASS;
		return client_stranger(ctx, p, 0);
	}
	if (r->lane != bpf_get_smp_processor_id())
		return hand_over(r->lane);
	if ((p->id ^ 1) != r->id)
		return is_own(p) ? client_stranger(ctx, p, homa_after(p->id, r->id) < 0) : XDP_PASS;
	if (r->rport != p->h.common.sport || !same_address(r->remote, p->src) || !same_address(r->local, p->dst))
		return bad(BadPackets);
	switch (p->h.common.type) {
	case HOMA_CUTOFFS:
		return take_cutoffs(ctx, p);
	case HOMA_DATA:
		return client_data(ctx, r, id, p);
	case HOMA_GRANT:
		homa_lives(r);
		return homa_granted(ctx, r, id, p);
	case HOMA_RESEND:
		homa_lives(r);
		r->known = 1;
		return homa_resend(ctx, r, id, p);
	case HOMA_RPC_UNKNOWN:
		return client_unknown(r, id, p);
	case HOMA_BUSY:
		count(BusiesIn);
		/* That is no sign of life of the call: it is asked for as if nothing had come, and begun again. */
		if (p->h.common.flags & BUSY_NO_ROOM && is_marked(p)) {
			if (r->phase == PHASE_OUT && !r->known)
				r->no_room = NO_ROOM_NOW;
			return XDP_DROP;
		}
		homa_lives(r);
		r->known = 1;
		r->heard = 1;
		return XDP_DROP;
	case HOMA_NEED_ACK:
		count(NeedAcksIn);
		if (r->phase == PHASE_REST)
			return homa_turn(ctx, p, HOMA_ACK, 0);
		/* The server has sent all of it, a while ago: what is not here was lost. */
		r->ask = 0;
		r->due |= DUE_RESEND;
		el_ready(id);
		return XDP_DROP;
	default:
		return XDP_DROP;
	}
}

/* ── servers ── */

/* A call of a client's slot that nothing is known of. */
noinline int server_stranger(struct xdp_md *ctx, const struct homa_packet *p NONNULL)
{
	struct homa_listener *l;
	struct homa_part d;
	struct homa_rpc *r;
	__u32 id;

	if (p->h.common.type != HOMA_DATA && p->h.common.type != HOMA_RESEND)
		return XDP_DROP;
	if (!is_own(p))
		return XDP_PASS;
	if (p->h.common.type == HOMA_DATA && !homa_sound(ctx, p))
		return bad(CsumErrors);
	if (from_nobody(p))
		return bad(BadPackets);
	if (is_past(p))
		return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, UNKNOWN_RESET);
	l = listener_of(p);
	if (!l) {
		count(NoPorts);
		return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, UNKNOWN_REFUSED);
	}
	if (p->h.common.type == HOMA_RESEND)
		return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, 0);
	count(DataIn);
	if (!part_of(p, &d))
		return bad(BadPackets);
	id = homa_open(ctx, p, l, d.total);
	r = rpc_of(id);
	if (!id || !r) {
		/* Its duplicate came in by another lane in the meantime: that one's it is. */
		id = channel_of(p);
		if (id)
			return id >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id() ? hand_over(id >> ENTRY_LANE_SHIFT) : XDP_DROP;
		if (is_past(p))
			return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, UNKNOWN_RESET);
		/* Once for each time that it is tried: not for all packets of it. */
		return d.offset ? XDP_DROP : homa_turn(ctx, p, HOMA_BUSY, BUSY_NO_ROOM);
	}
	d.fresh = 1;
	homa_take_data(ctx, r, id, p, &d);
	/* One that could not be placed leaves a channel that nobody will talk on. */
	if (r->phase == PHASE_REST && r->armed != ARMED_REST)
		homa_arm(r, id, REST_MS, ARMED_REST);
	return XDP_DROP;
}

static inline int server_data(struct xdp_md *ctx, struct homa_rpc *r, __u32 id, const struct homa_packet *p)
{
	struct homa_part d;
	int served;

	if (r->id == (p->id ^ 1)) {
		count(DataIn);
		if (r->phase != PHASE_IN)
			return bad(Duplicates);
		if (!part_of(p, &d))
			return bad(BadPackets);
		return homa_take_data(ctx, r, id, p, &d);
	}
	if (homa_after(p->id, r->id) < 0)
		return bad(OldData);
	/* A newer one. What came of the last request in part will never be whole: its application is told. And the port may be another's
	 * by now, or nobody's, whatever its clients' channels are. One that has left
	 * the slot answers nothing more. */
	served = is_served(r, p);
	if (r->phase == PHASE_IN || !served || r->closing) {
		if (!homa_sound(ctx, p))
			return bad(CsumErrors);
		homa_end(r, id, r->phase == PHASE_IN || r->phase == PHASE_SERVE ? ECONNRESET : 0);
		return server_stranger(ctx, p);
	}
	count(DataIn);
	if (!part_of(p, &d) || (!same_address(r->local, p->dst) && !is_own(p)))
		return bad(BadPackets);
	d.fresh = 1;
	return homa_take_data(ctx, r, id, p, &d);
}

static inline int to_server(struct xdp_md *ctx, const struct homa_packet *p)
{
	__u32 entry, id;
	struct homa_rpc *r;

	if (p->h.common.type == HOMA_ACK)
		return homa_acks(ctx, p);
	if (p->h.common.type == HOMA_DATA && p->h.ack.client_id && homa_acks_by_the_way(ctx, p) < 0)
		return bad(CsumErrors);
	entry = channel_of(p);
	if (!entry)
		return server_stranger(ctx, p);
	if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return hand_over(entry >> ENTRY_LANE_SHIFT);
	id = entry & ENTRY_ID;
	r = rpc_of(id);
	if (!r || r->state != SLOT_SERVER)
		return XDP_DROP;
	if (p->h.common.type == HOMA_DATA)
		return server_data(ctx, r, id, p);
	if (r->id != (p->id ^ 1)) {
		/* Of the present call nothing came yet. */
		if (p->h.common.type == HOMA_RESEND && homa_after(p->id, r->id) > 0)
			return homa_turn(ctx, p, HOMA_RPC_UNKNOWN, 0);
		return XDP_DROP;
	}
	switch (p->h.common.type) {
	case HOMA_CUTOFFS:
		return take_cutoffs(ctx, p);
	case HOMA_GRANT:
		return homa_granted(ctx, r, id, p);
	case HOMA_RESEND:
		return homa_resend(ctx, r, id, p);
	case HOMA_BUSY:
		count(BusiesIn);
		r->heard = 1;
		return XDP_DROP;
	case HOMA_RPC_UNKNOWN:
		/* The client gave up. */
		count(UnknownsIn);
		homa_end(r, id, ECONNRESET);
		return XDP_DROP;
	default:
		return XDP_DROP;
	}
}

static inline int homa_dispatch(struct xdp_md *ctx, const struct homa_packet *p)
{
	/* Of DATA the sum is made where it is copied, and in server_stranger. */
	if (p->h.common.type != HOMA_DATA && !homa_sound(ctx, p))
		return bad(CsumErrors);
	return p->id & 1 ? to_client(ctx, p) : to_server(ctx, p);
}
