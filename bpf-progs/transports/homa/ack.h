/* Acknowledgements: a client names calls whose responses it has, and servers forget these. */
#pragma once
#include "resend.h"

/* The response has arrived: its bytes may go, the channel waits for the next call. */
static inline void homa_acked(struct homa_rpc *r, __u32 id)
{
	if (r->phase != PHASE_OUT || r->out_next < r->out_len)
		return;
	spans_clear(r);
	/* First: what is left of it, should the lane die now, is skipped as an old answer. */
	r->phase = PHASE_REST;
	r->due = 0;
	homa_out_done(r, id);
	/* An answer to a call that was given up before may stand behind it. */
	if (r->closing || el_stream_snd_end(id) != r->out_at)
		el_ready(id);
}

/*
 * One that a packet names. A channel of one of HomaModule's clients ends by it, for its next call has another; so does one of ours
 * when streams are few (GEN ends it). The entry of the channel, 0: there is none; that of another lane is left to it.
 */
noinline __u32 homa_acknowledge(const struct homa_packet *p NONNULL, __u64 client_id, __u32 served)
{
	struct homa_channel_key k = { .port = p->h.common.sport, .served = served, .slot = ID_SLOT(client_id) };
	struct homa_rpc *r;
	__u32 *found, entry, id;

	mapped(k.address, p->src, p->family);
	found = bpf_map_lookup_elem(&homa_channels, &k);
	if (!found)
		return 0;
	entry = *found;
	if (is_elsewhere(entry))
		return entry;
	id = entry & ENTRY_ID;
	r = rpc_of(id);
	if (!r || r->state != SLOT_SERVER || r->id != (client_id ^ 1))
		return entry;
	homa_acked(r, id);
	if (r->phase == PHASE_REST && !r->closing && (r->foreign || share_short(r))) {
		count(Closed);
		r->closing = 1;
		el_ready(id);
	}
	return entry;
}

/*
 * ACK: HomaModule's answer to NEED_ACK is about the RPC of the header, and lists others, or none. Both count. Another lane's channel
 * is acknowledged there: that of the header, or the only one that is listed when there is none.
 */
noinline int homa_acks(struct xdp_md *ctx, const struct homa_packet *p NONNULL)
{
	__u32 at = p->at + offsetof(struct homa_acks, num_acks), n, i, other, named;
	__be16 listed;

	count(AcksIn);
	if (p->len > sizeof(struct homa_acks) || bpf_xdp_load_bytes(ctx, at, &listed, sizeof(listed)))
		return XDP_DROP;
	at += sizeof(listed);
	named = homa_acknowledge(p, p->id, p->h.common.dport);
	n = ntohs(listed);
	for (i = 0; i < HOMA_ACKS; i++) {
		struct homa_ack a;

		if (i >= n || at + (i + 1) * sizeof(a) > p->at + p->len || bpf_xdp_load_bytes(ctx, at + i * sizeof(a), &a, sizeof(a)))
			break;
		other = homa_acknowledge(p, be64_of(a.client_id), a.server_port);
		/* One of several, of several lanes perhaps, asks again (NEED_ACK), and is answered by itself. */
		if (other && !named && n == 1 && is_elsewhere(other))
			return hand_over(other >> ENTRY_LANE_SHIFT);
	}
	return named && is_elsewhere(named) ? hand_over(named >> ENTRY_LANE_SHIFT) : XDP_DROP;
}

/* The one that DATA names by the way, as HomaModule's clients do. -1: its checksum is wrong. */
noinline int homa_acks_by_the_way(struct xdp_md *ctx, const struct homa_packet *p NONNULL)
{
	if (!homa_sound(ctx, p))
		return -1;
	homa_acknowledge(p, be64_of(p->h.ack.client_id), p->h.ack.server_port);
	return 0;
}
