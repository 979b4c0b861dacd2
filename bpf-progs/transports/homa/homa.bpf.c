/*
 * Homa (HomaModule's packets, IP protocol 146) as eBPF programs over streams: a slot is a stream whose rings hold messages
 * (slot.h).
 *
 *   XDP  entrance (transports/entrance) ─▶ homa_ingress, homa_icmp          another lane's slot ─ homa_lanes ─▶ homa_handover
 *   GEN  entrance_gen ─▶ homa_gen: control packets that are due, then the message of the slot
 */
#include "error.h"
#include "expire.h"

SEC("xdp")
int homa_ingress(struct xdp_md *ctx)
{
	struct homa_packet p = {};

	switch (homa_parse(ctx, &p)) {
	case PACKET_OK:
		return homa_dispatch(ctx, &p);
	case PACKET_NOT_OURS:
		return XDP_PASS;
	default:
		return bad(BadPackets);
	}
}

SEC("xdp")
int homa_icmp(struct xdp_md *ctx)
{
	struct homa_packet p = {};

	return homa_error(ctx, &p);
}

/* What another lane took in for a slot of this one. */
SEC("xdp/cpumap")
int homa_handover(struct xdp_md *ctx)
{
	struct homa_packet p = {};
	int verdict;

	switch (homa_parse(ctx, &p)) {
	case PACKET_OK:
		break;
	case PACKET_NOT_OURS:
		memset(&p, 0, sizeof(p));
		homa_error(ctx, &p);
		return XDP_DROP;
	default:
		return XDP_DROP;
	}
	verdict = homa_dispatch(ctx, &p);
	return verdict == XDP_TX ? (int)bpf_redirect(ctx->ingress_ifindex, 0) : verdict;
}

/* What the application wants, or recovery. 0: the slot goes on. */
noinline int homa_requested(struct homa_rpc *r NONNULL, __u32 id, __u32 asked)
{
	if (asked & EL_REQ_REVIVED) {
		/* The lane died before the stream became a slot, or before all of its end was said. */
		if (r->state == SLOT_FREE) {
			homa_end(r, id, r->error);
			return 1;
		}
		el_stream_received(id, r->received);
		el_stream_acked(id, r->acked);
		/* The clock may be lost, and the places in trees. */
		homa_ungrant(r, id);
		homa_uncount(r, id);
		unthrottle(id);
		r->pacing = PACING_NOT;
		r->heard = 1;
		homa_arm(r, id, TICK_MS, ARMED_TICK);
		/* Nobody was told of the last bytes, perhaps. */
		if (r->phase == PHASE_IN && r->in_next == r->in_len)
			homa_tell(r, id);
	}
	if (!(asked & (EL_REQ_ABORT | EL_REQ_CLOSE)))
		return 0;
	/* A stream that never became a slot: nobody but its application knows of it. */
	if (r->state == SLOT_FREE || r->state == SLOT_CLIENT || (r->state == SLOT_SERVER && r->phase == PHASE_REST)) {
		homa_end(r, id, r->error);
		return 1;
	}
	if (r->state != SLOT_SERVER)
		return 0;
	/* What is answered already is to arrive. */
	if (asked & EL_REQ_ABORT || (r->phase != PHASE_OUT && (r->phase != PHASE_SERVE || el_stream_snd_end(id) == r->out_at)))
		homa_reset(r, id, ECONNRESET);
	else
		r->closing = 1;
	return 0;
}

/* The slot failed: its client is told, and it ends. */
static inline int homa_last_words(struct xdp_md *ctx, struct homa_rpc *r, __u32 id)
{
	struct homa_peer *p = r->due & DUE_UNKNOWN ? peer_of(r->remote, r->family) : 0;

	if (p && homa_way(ctx, p, r->family) == WAY_KNOWN && homa_due(ctx, r, id, p) == XDP_TX)
		return XDP_TX;
	homa_end(r, id, r->error);
	return XDP_ABORTED;
}

SEC("xdp_gen")
int homa_gen(struct xdp_md *ctx)
{
	__u32 id = ctx->rx_queue_index, asked, waiting;
	struct homa_rpc *r = rpc_of(id);
	struct homa_peer *p;
	int verdict;

	if (!r)
		return XDP_ABORTED;
	asked = el_stream_requests(id);
	if (asked && homa_requested(r, id, asked))
		return XDP_ABORTED;
	if (r->ticked)
		homa_expire(r, id);
	if (r->state == SLOT_FREE)
		return XDP_ABORTED;
	if (r->state == SLOT_GONE)
		return homa_last_words(ctx, r, id);
	homa_release(r, id);
	if (r->lacking)
		homa_room_again(r, id);
	/* The application has read, perhaps. */
	if (r->stalled && r->phase == PHASE_IN)
		homa_consider(r, id, 0);
	if (r->closing && r->phase == PHASE_REST) {
		homa_end(r, id, r->error);
		return XDP_ABORTED;
	}
	if (r->phase != PHASE_OUT) {
		waiting = el_stream_snd_end(id) - r->out_at;
		if ((__s32)waiting >= HOMA_ALIGN && (r->state == SLOT_SERVER || r->phase == PHASE_REST)) {
			switch (homa_next(ctx, r, id)) {
			case NEXT_MESSAGE:
			case NEXT_LATER:
				break;
			case NEXT_SKIPPED:
				/* Its bytes may not all be written: what follows them is looked at when they are. */
				if (el_stream_snd_end(id) != r->out_at)
					el_ready(id);
				return XDP_ABORTED;
			default:
				return XDP_ABORTED;
			}
		}
	}
	if (!r->due && r->phase != PHASE_OUT)
		return XDP_ABORTED;
	p = homa_towards(ctx, r, id);
	if (!p)
		return XDP_ABORTED;
	if (r->state == SLOT_CLIENT && !r->out_next)
		memcpy(r->local, p->from, sizeof(r->local));
	if (r->due) {
		verdict = homa_due(ctx, r, id, p);
		if (verdict == XDP_TX) {
			homa_goes(ctx->egress_ifindex, bpf_xdp_get_buff_len(ctx));
			return verdict;
		}
	}
	if (r->phase != PHASE_OUT)
		return XDP_ABORTED;
	/* Who has no room is sent nothing more of the try: it would be taken for another. */
	verdict = r->no_room == NO_ROOM_NOW ? XDP_ABORTED : homa_output(ctx, r, id, p);
	if (verdict < 0) {
		homa_fail(r, id, EMSGSIZE);
		return XDP_ABORTED;
	}
	if (verdict != XDP_TX)
		homa_turn_over(r, id);
	return verdict;
}

license("Dual MIT/GPL");
