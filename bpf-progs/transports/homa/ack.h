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

/* One that an ACK, or DATA by the way, names. 0: done; else the entry of a channel that is another lane's. */
noinline __u32 homa_acknowledge(const struct homa_packet *p NONNULL, __u64 client_id, __u32 served)
{
	struct homa_channel_key k = { .port = p->h.common.sport, .served = served, .slot = ID_SLOT(client_id) };
	struct homa_rpc *r;
	__u32 *entry;

	channel_address(&k, p->src, p->family);
	entry = bpf_map_lookup_elem(&homa_channels, &k);
	if (!entry)
		return 0;
	if (*entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id())
		return *entry;
	r = rpc_of(*entry & ENTRY_ID);
	if (r && r->state == SLOT_SERVER && r->id == (client_id ^ 1))
		homa_acked(r, *entry & ENTRY_ID);
	return 0;
}

noinline int homa_acks(struct xdp_md *ctx, const struct homa_packet *p NONNULL)
{
	struct homa_acks h;
	__u32 n, i, other;

	count(AcksIn);
	if (p->len > sizeof(h) || p->len < sizeof(struct homa_common) + sizeof(__be16))
		return XDP_DROP;
	memset(&h, 0, sizeof(h));
	n = bpf_xdp_load_bytes(ctx, p->at, &h, sizeof(struct homa_common) + sizeof(__be16)) ? 0 : ntohs(h.num_acks);
	for (i = 0; i < HOMA_ACKS; i++) {
		struct homa_ack a;

		if (i >= n || sizeof(struct homa_common) + sizeof(__be16) + (i + 1) * sizeof(a) > p->len ||
		    bpf_xdp_load_bytes(ctx, p->at + sizeof(struct homa_common) + sizeof(__be16) + i * sizeof(a), &a, sizeof(a)))
			break;
		other = homa_acknowledge(p, be64_of(a.client_id), a.server_port);
		/* One of several, of several lanes perhaps, asks again (NEED_ACK), and is answered by itself. */
		if (other && n == 1)
			return hand_over(other >> ENTRY_LANE_SHIFT);
	}
	return XDP_DROP;
}
