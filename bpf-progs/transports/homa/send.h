/* What leaves: control packets that are due, what is asked for again, then new bytes, in the frame that GEN got. */
#pragma once
#include "channel.h"
#include "cutoffs.h"
#include "reply.h"

/* Headers of the longest, before bytes. */
#define HEADERS (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct homa_data))

static inline __u32 homa_at(const struct homa_rpc *r)
{
	return sizeof(struct ethhdr) + (r->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* Writes link and IP headers, and cuts the frame: `len` counts Homa's header and what follows. 0: it stands. */
static inline int homa_frame(struct xdp_md *ctx, const struct homa_rpc *r, const struct homa_peer *p, __u32 len, __u32 priority)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	__u16 *mac = data;

	if (data + HEADERS > end)
		return -1;
	mac[0] = p->dmac[0], mac[1] = p->dmac[1], mac[2] = p->dmac[2];
	mac[3] = p->smac[0], mac[4] = p->smac[1], mac[5] = p->smac[2];
	if (r->family == AF_INET) {
		mac[6] = htons(ETH_P_IP);
		write_ip4(data + sizeof(struct ethhdr), r->local[0], r->remote[0], sizeof(struct iphdr) + len, HOMA_TOS(priority));
	} else {
		mac[6] = htons(ETH_P_IPV6);
		write_ip6(data + sizeof(struct ethhdr), r->local, r->remote, len, HOMA_TOS(priority));
	}
	return bpf_xdp_adjust_tail(ctx, (__s32)(homa_at(r) + len) - (__s32)bpf_xdp_get_buff_len(ctx)) ? -1 : 0;
}

/* The slot's peer and the way there; 0: none now, and `verdict` is what the run returns. */
static noinline struct homa_peer *homa_towards(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_peer *p = peer_of(r->remote, r->family);

	if (!p)
		return 0;
	switch (homa_way(ctx, p, r->family)) {
	case WAY_KNOWN:
		r->unresolved_ns = 0;
		return p;
	case WAY_ELSEWHERE:
		/* Another port has it to be: GEN comes back with a frame of that. */
		el_stream_route(id, p->ifindex, HOMA_TRANSPORT);
		el_ready(id);
		return 0;
	case WAY_UNRESOLVED:
		count(Unresolved);
		if (!r->unresolved_ns)
			r->unresolved_ns = bpf_ktime_get_ns();
		if (bpf_ktime_get_ns() - r->unresolved_ns < UNANSWERED_MS * NS_PER_MS) {
			homa_arm(r, id, NEIGHBOUR_MS, ARMED_TICK);
			return 0;
		}
		count(NoRoutes);
		homa_end(r, id, EHOSTUNREACH);
		return 0;
	default:
		count(NoRoutes);
		homa_end(r, id, p->error);
		return 0;
	}
}

/* ── control packets ── */

struct homa_order {
	__u8 type;
	__u8 flags;
	__u8 priority;
	__u8 pad;
	__u32 offset;
	__u32 length;
};

/*
 * Makes a control packet. GRANT has offset and priority, RESEND these and a length; in `sequence`, which HomaModule leaves 0,
 * how much has come without a gap: the sender may forget it, so a message may be longer than rings that find no memory.
 */
noinline int homa_control(struct xdp_md *ctx, const struct homa_rpc *r NONNULL, const struct homa_peer *p NONNULL,
				 const struct homa_order *o NONNULL)
{
	__u32 len = homa_least(o->type), at = homa_at(r);
	struct homa_resend h = {};

	write_common(&h.common, r->port, r->rport, o->type, o->flags, r->id);
	if (r->phase == PHASE_IN)
		h.common.sequence = htonl(r->in_next);
	h.offset = htonl(o->offset);
	if (o->type == HOMA_GRANT)
		*((__u8 *)&h + offsetof(struct homa_grant, priority)) = o->priority;
	else {
		h.length = htonl(o->length);
		h.priority = o->priority;
	}
	if (len > sizeof(h) || len < sizeof(h.common) || homa_frame(ctx, r, p, len, HOMA_CONTROL_PRIORITY))
		return XDP_ABORTED;
	if (bpf_xdp_store_bytes(ctx, at, &h, len) ||
	    homa_seal(ctx, at, r->local, r->remote, len, el_packet_sum(ctx, at, len)))
		return XDP_ABORTED;
	return XDP_TX;
}

/* The next range to ask for, of what may come and has not; 0: no more. */
static inline int homa_missing(struct homa_rpc *r, __u32 id, struct el_range *hole)
{
	__u32 from = r->ask > r->in_next ? r->ask : r->in_next, to = r->in_granted < r->in_len ? r->in_granted : r->in_len;
	__u32 room = el_stream_rcv_limit(id) - r->in_at;

	/* What there is no room for would be dropped again. */
	room = (__s32)room < HOMA_ALIGN ? 0 : room - HOMA_ALIGN;
	if (to > room)
		to = room;
	if (from >= to)
		return 0;
	return el_intervals_next_hole(&r->spans, from, to, hole) > 0;
}

/* Tells the peer our cutoffs. */
noinline int send_cutoffs(struct xdp_md *ctx, const struct homa_rpc *r NONNULL, const struct homa_peer *p NONNULL)
{
	__u32 key = 0, at = homa_at(r), i;
	struct homa_own_cutoffs *own = bpf_map_lookup_elem(&homa_cutoffs, &key);
	struct homa_cutoffs h = {};

	if (!own)
		return XDP_ABORTED;
	write_common(&h.common, r->port, r->rport, HOMA_CUTOFFS, 0, r->id);
	for (i = 0; i < HOMA_PRIORITIES; i++)
		h.unsched_cutoffs[i] = htonl(own->cutoffs[i]);
	h.cutoff_version = htons(own->version);
	if (homa_frame(ctx, r, p, sizeof(h), HOMA_CONTROL_PRIORITY) || bpf_xdp_store_bytes(ctx, at, &h, sizeof(h)) ||
	    homa_seal(ctx, at, r->local, r->remote, sizeof(h), el_packet_sum(ctx, at, sizeof(h))))
		return XDP_ABORTED;
	count(Cutoffs);
	return XDP_TX;
}

static inline int homa_due(struct xdp_md *ctx, struct homa_rpc *r, __u32 id, const struct homa_peer *p)
{
	struct homa_order o = { .priority = HOMA_CONTROL_PRIORITY };
	struct el_range hole = {};

	if (r->due & DUE_UNKNOWN) {
		r->due = 0;
		o.type = HOMA_RPC_UNKNOWN;
		o.flags = UNKNOWN_RESET;
		count(Unknowns);
	} else if (r->due & DUE_CUTOFFS) {
		r->due &= ~DUE_CUTOFFS;
		return send_cutoffs(ctx, r, p);
	} else if (r->due & DUE_NEED_ACK) {
		r->due &= ~DUE_NEED_ACK;
		o.type = HOMA_NEED_ACK;
		count(NeedAcks);
	} else if (r->due & DUE_GRANT && r->phase == PHASE_IN) {
		r->due &= ~DUE_GRANT;
		o.type = HOMA_GRANT;
		o.offset = r->in_granted;
		o.priority = r->grant_priority;
		count(Grants);
	} else if (!(r->due & DUE_RESEND)) {
		r->due = 0;
		return XDP_ABORTED;
	} else if (r->phase == PHASE_OUT && r->state == SLOT_CLIENT) {
		/* Who waits for the first of a response asks for all of it. */
		r->due &= ~DUE_RESEND;
		o.type = HOMA_RESEND;
		o.length = HOMA_RESEND_ALL;
		count(Resends);
	} else if (r->phase == PHASE_IN && homa_missing(r, id, &hole)) {
		r->ask = hole.to;
		o.type = HOMA_RESEND;
		o.offset = hole.from;
		o.length = hole.to - hole.from;
		count(Resends);
	} else {
		r->due &= ~DUE_RESEND;
		return XDP_ABORTED;
	}
	return homa_control(ctx, r, p, &o);
}

/* ── messages ── */

/* The message cannot go: whose call it is learns why. */
static inline void homa_fail(struct homa_rpc *r, __u32 id, __u32 error)
{
	if (r->state == SLOT_SERVER)
		homa_reset(r, id, error);
	else
		homa_end(r, id, error);
}

/* Of homa_send: the slot waits for its turn (pace.h); no packet has room for a byte behind its headers, and none will have. */
#define SEND_LATER -2
#define SEND_NEVER -3

/* Writes the header of DATA behind that of IP. 0: it stands. */
static inline int homa_head(struct xdp_md *ctx, __u32 at, const word32 *words)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	word32 *to;
	__u32 i;

	if (data + HEADERS > end)
		return -1;
	to = at == sizeof(struct ethhdr) + sizeof(struct iphdr) ? data + sizeof(struct ethhdr) + sizeof(struct iphdr)
								: data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	for (i = 0; i < sizeof(struct homa_data) / 4; i++)
		to[i] = words[i];
	return 0;
}

/* An application that writes little by little is not told of each. */
#define TELL_BYTES 1024

/* Makes a DATA packet of the first of these bytes of the message, as many as it takes. How many; less than 0: the run ends. */
noinline int homa_send(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id, const struct homa_peer *p NONNULL,
			      const struct el_range *part NONNULL)
{
	__u32 at = homa_at(r), head = at + sizeof(struct homa_data), most, offset = part->from, bytes = part->to - offset, priority;
	__u32 again = offset < r->out_next, tell;
	struct homa_data h = {};
	word32 *words = (word32 *)&h;
	__u64 summed = 0;
	int sum, i;

	most = data_end_of(ctx) - data_of(ctx);
	if (p->mtu && most > p->mtu + sizeof(struct ethhdr))
		most = p->mtu + sizeof(struct ethhdr);
	if (most <= head)
		return SEND_NEVER;
	if (bytes > most - head)
		bytes = most - head;
	if (!homa_may_send(ctx, r, id, head + bytes))
		return SEND_LATER;
	sum = el_stream_fetch(ctx, head, id, r->out_at + HOMA_ALIGN + offset, bytes);
	if (sum < 0)
		return -1;
	priority = again ? r->asked_priority : offset < homa_unscheduled ? unscheduled_priority(p, r->out_len) : r->priority;
	/* Who writes no further than this, and may, has no room for more, perhaps. */
	tell = offset + bytes == part->to && part->to < r->out_len && part->to < r->out_granted && part->to - r->out_freed >= TELL_BYTES;
	write_common(&h.common, r->port, r->rport, HOMA_DATA, tell ? HOMA_DATA_TELL : 0, r->id);
	h.common.sequence = htonl(offset);
	h.message_length = htonl(r->out_len);
	h.incoming = htonl(r->out_granted);
	h.cutoff_version = p->version;
	h.retransmit = again;
	h.offset = htonl(offset);
	for (i = 0; i < (int)sizeof(h) / 4; i++)
		summed += words[i];
	summed += homa_pseudo(r->local, r->remote, sizeof(h) + bytes) + sum;
	h.common.checksum = csum_fold(summed);
	if (!h.common.checksum)
		h.common.checksum = 0xffff;
	if (homa_head(ctx, at, words) || homa_frame(ctx, r, p, sizeof(h) + bytes, priority))
		return -1;
	count(DataOut);
	return bytes;
}

/* What stands in the ring is no message: nobody knows where the next one begins. */
static inline int homa_nonsense(struct homa_rpc *r, __u32 id, __u32 error)
{
	count(BadRecords);
	homa_fail(r, id, error);
	return XDP_ABORTED;
}

enum homa_next { NEXT_NONE, NEXT_MESSAGE, NEXT_SKIPPED, NEXT_LATER, NEXT_ENDED };

static inline enum homa_next client_next(struct homa_rpc *r, __u32 id, const struct homa_record *rec)
{
	/* Numbers of calls wrap, those of RPCs do not: what counts is how much later it is than the last one. */
	__s32 later = rec->call - (__u32)((r->id >> ID_SEQ_SHIFT) - r->base);

	if ((rec->family != AF_INET && rec->family != AF_INET6) ||
	    (rec->family == AF_INET && (rec->address[1] | rec->address[2] | rec->address[3])) ||
	    later <= 0) {
		homa_nonsense(r, id, EPROTO);
		return NEXT_ENDED;
	}
	r->family = rec->family;
	r->rport = rec->port;
	memcpy(r->remote, rec->address, sizeof(r->remote));
	r->id = ((r->id >> ID_SEQ_SHIFT) + later) << ID_SEQ_SHIFT | (__u64)id << 1;
	r->known = 0;
	r->tries = 0;
	r->no_room = NO_ROOM_NEVER;
	r->told = 0;
	r->sent_ns = 0;
	count(CallsOut);
	return NEXT_MESSAGE;
}

/* Takes the record of the next message, of which `waiting` bytes are written, record and all. */
noinline int homa_next(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct homa_record rec;

	if (data + HEADERS > end || el_stream_fetch(ctx, 0, id, r->out_at, sizeof(rec)) < 0)
		return NEXT_NONE;
	memcpy(&rec, data, sizeof(rec));
	if (rec.len > HOMA_MAX_MESSAGE) {
		homa_nonsense(r, id, EMSGSIZE);
		return NEXT_ENDED;
	}
	if (r->state == SLOT_CLIENT) {
		if (client_next(r, id, &rec) != NEXT_MESSAGE)
			return NEXT_ENDED;
	} else if (r->phase == PHASE_IN && rec.call == (__u32)(r->id >> ID_SEQ_SHIFT)) {
		/* Answered before the request was whole: it goes when that is, for its first packet says that nothing is missing. */
		return NEXT_LATER;
	} else if (r->phase != PHASE_SERVE || rec.call != (__u32)(r->id >> ID_SEQ_SHIFT)) {
		/* The client did not wait for it. */
		count(Skipped);
		r->out_len = rec.len;
		r->out_end = r->out_at + homa_room(rec.len);
		homa_out_done(r, id);
		return NEXT_SKIPPED;
	} else
		count(ResponsesOut);
	spans_clear(r);
	r->out_len = rec.len;
	r->out_end = r->out_at + homa_room(rec.len);
	r->out_next = 0;
	r->out_born = 0;
	r->out_freed = 0;
	r->begun = 0;
	r->cut_to = 0;
	r->out_granted = rec.len < homa_unscheduled ? rec.len : homa_unscheduled;
	r->priority = 0;
	/* Last: a lane that dies before finds the record still to be taken. */
	r->phase = PHASE_OUT;
	/* More than the ring may have: it is to become larger while it is written. */
	if (rec.len > FIRST_RING / 2) {
		el_stream_snd_goal(id, homa_room(rec.len));
		/* An application that found its ring full before it was known for what it waits asks again. */
		el_stream_event(id, EL_EV_OUT);
	}
	return NEXT_MESSAGE;
}

/* Bytes of the message that are written; all, when the record says none. */
static inline __u32 homa_written(const struct homa_rpc *r, __u32 id)
{
	__u32 written = el_stream_snd_end(id) - r->out_at - HOMA_ALIGN;

	return (__s32)written < 0 ? 0 : written;
}

/* Sends of the message what is asked for again, or new. The verdict; less than 0: it is SEND_NEVER, and the caller ends the call. */
noinline int homa_output(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id, const struct homa_peer *p NONNULL)
{
	struct el_range part = {};
	__u32 rest;
	int n;

	if (r->spans.count && el_intervals_overlap(&r->spans, 0, r->out_next, &part) > 0) {
		n = homa_send(ctx, r, id, p, &part);
		if (n <= 0)
			return n == SEND_NEVER ? n : XDP_ABORTED;
		count(Retransmits);
		/* What is left of the range leaves with it. */
		rest = el_intervals_trim(&r->spans, part.from + n);
		if (rest)
			el_intervals_add(&r->spans, part.from + n, part.from + n + rest);
		return XDP_TX;
	}
	part.from = r->out_next;
	part.to = homa_written(r, id);
	if (part.to > r->out_granted)
		part.to = r->out_granted;
	if (part.to <= part.from && (r->out_len || r->begun))
		return XDP_ABORTED;
	if (!r->sent_ns)
		r->sent_ns = bpf_ktime_get_ns();
	n = homa_send(ctx, r, id, p, &part);
	if (n < 0)
		return n == SEND_NEVER ? n : XDP_ABORTED;
	r->begun = 1;
	r->out_next += n;
	homa_await(r, id);
	return r->out_next < part.to ? XDP_TX : XDP_PASS;
}
