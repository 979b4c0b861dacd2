/* What is missing: RESENDs that ask for it, and the answers to them. */
#pragma once
#include "data.h"
#include "reply.h"

/* The peer has the first bytes of what goes out: of our own kind, it says so with what it asks for. */
static inline void homa_has(struct homa_rpc *r, __u32 id, const struct homa_packet *p)
{
	__u32 has = ntohl(p->h.common.sequence);

	if (!is_marked(p) || r->phase != PHASE_OUT || has <= r->out_freed || has > r->out_next)
		return;
	r->out_freed = has;
	if (r->spans.count) {
		__u32 rest = el_intervals_trim(&r->spans, has);

		if (rest)
			el_intervals_add(&r->spans, has, has + rest);
	}
	r->acked = r->out_at + HOMA_ALIGN + has;
	el_stream_acked(id, r->acked);
}

/* The peer asks for bytes of what goes out. What was not sent yet comes anyhow: it is told BUSY then. */
noinline int homa_resend(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id, const struct homa_packet *p NONNULL)
{
	struct homa_resend h;
	__u32 from, to;

	count(ResendsIn);
	if (bpf_xdp_load_bytes(ctx, p->at, &h, sizeof(h)))
		return XDP_DROP;
	r->heard = 1;
	if (r->phase == PHASE_REST)
		return XDP_DROP;
	homa_has(r, id, p);
	from = ntohl(h.offset);
	to = ntohl(h.length);
	/* What is asked for may be sent: its GRANT was lost. */
	if (to != HOMA_RESEND_ALL && to <= HOMA_MAX_MESSAGE && from + to > r->out_granted)
		r->out_granted = from + to < r->out_len ? from + to : r->out_len;
	if (r->phase != PHASE_OUT || from >= r->out_next) {
		if (r->phase == PHASE_OUT) {
			/* An empty message is sent again as if it had not been. */
			if (!r->out_len)
				r->begun = 0;
			el_ready(id);
		}
		return homa_turn(ctx, p, HOMA_BUSY, 0);
	}
	if (from < r->out_freed) {
		/* It was here, and is no more: asked for before what followed it. */
		to = to > r->out_freed - from ? to - (r->out_freed - from) : 0;
		from = r->out_freed;
	}
	to = to > r->out_next - from ? r->out_next : from + to;
	r->asked_priority = h.priority & 7;
	if (to > from)
		el_intervals_add(&r->spans, from, to);
	el_ready(id);
	return XDP_DROP;
}

/* More of what goes out may be sent. */
noinline int homa_granted(struct xdp_md *ctx, struct homa_rpc *r NONNULL, __u32 id, const struct homa_packet *p NONNULL)
{
	struct homa_grant h;
	__u32 to;

	count(GrantsIn);
	if (bpf_xdp_load_bytes(ctx, p->at, &h, sizeof(h)) || r->phase != PHASE_OUT)
		return XDP_DROP;
	homa_has(r, id, p);
	to = ntohl(h.offset);
	if (to > r->out_len)
		to = r->out_len;
	r->heard = 1;
	r->silent = 0;
	r->known = 1;
	r->priority = h.priority & 7;
	if (to > r->out_granted) {
		r->out_granted = to;
		el_ready(id);
	}
	return XDP_DROP;
}
