/*
 * TCP (RFC 9293) as eBPF programs: the whole state machine, in the lane that owns the flow.
 *
 *   XDP  entrance (transports/entrance) ─▶ tcp_ingress, tcp_icmp
 *   GEN  entrance_gen ─▶ tcp_gen: a packet of a ready flow          EGRESS  entrance_egress ─▶ tcp_egress: when it leaves
 *   bpf_timer of a flow: expire.h
 */
#include "expire.h"
#include "express.h"
#include "icmp.h"
#include "predict.h"

/* A segment that was taken apart: to its flow, or to whoever answers strangers. */
static inline int tcp_segment(struct xdp_md *ctx, struct tcp_segment *s)
{
	struct tcp_hand *h = hand();
	struct tcp_flow *f;
	__u32 entry;
	int verdict;

	if (!h)
		return XDP_ABORTED;
	hand_clean(h);
	entry = flow_entry(s);
	if (!entry) {
		verdict = tcp_stranger(ctx, s);
	} else if (entry >> ENTRY_LANE_SHIFT != bpf_get_smp_processor_id()) {
		return hand_over(entry);
	} else {
		f = flow_of(entry & ENTRY_ID);
		if (!f)
			return XDP_ABORTED;
		h->id = entry & ENTRY_ID;
		verdict = tcp_segment_of(ctx, f, s);
	}
	h->opening = 0;
	h->id = 0;
	return verdict;
}

SEC("xdp")
int tcp_ingress(struct xdp_md *ctx)
{
	struct tcp_segment *s = scratch();
	int kind;

	if (!s)
		return XDP_ABORTED;
	kind = tcp_predicted(ctx, s);
	if (kind != NOT_PREDICTED)
		return kind;
	kind = tcp_parse(ctx, s);
	if (kind != SEGMENT_OK) {
		if (kind == SEGMENT_NOT_OURS)
			return XDP_PASS;
		count(kind < 0 ? InCsumErrors : InErrs);
		return XDP_DROP;
	}
	count(InSegs);
	return tcp_segment(ctx, s);
}

/* What another lane took in for a flow of this one. */
SEC("xdp/cpumap")
int tcp_handover(struct xdp_md *ctx)
{
	struct tcp_segment *s = scratch();
	int kind, verdict;

	if (!s)
		return XDP_ABORTED;
	kind = tcp_parse(ctx, s);
	verdict = kind == SEGMENT_OK ? tcp_segment(ctx, s) : kind == SEGMENT_NOT_OURS ? icmp_error(ctx, s) : XDP_DROP;
	/* A cpumap program cannot send back (cpu_map_bpf_prog_run_xdp): answers leave by the port that the segment came in by. */
	return verdict == XDP_TX ? (int)bpf_redirect(ctx->ingress_ifindex, 0) : verdict;
}

SEC("xdp")
int tcp_icmp(struct xdp_md *ctx)
{
	struct tcp_segment *s = scratch();

	return s ? icmp_error(ctx, s) : XDP_ABORTED;
}

SEC("xdp_gen")
int tcp_gen(struct xdp_md *ctx)
{
	__u32 id = ctx->rx_queue_index, zero = 0, asked;
	struct tcp_plan *p = bpf_map_lookup_elem(&tcp_plans, &zero);
	struct tcp_flow *f = flow_of(id);
	struct tcp_board *b = board_of(id);
	struct tcp_hand *h = hand();
	__u64 now = bpf_ktime_get_ns();
	int verdict;

	if (!p || !f || !b || !h)
		return XDP_ABORTED;
	hand_clean(h);
	/* The stream may wait for its connection: then the flow is that of the number's last. */
	if (f->state != TCP_FREE && f->state != TCP_CLOSE)
		h->id = id;
	asked = el_stream_requests(id);
	if (asked)
		tcp_requests(f, b, id, asked, now);
	verdict = tcp_express(ctx, f, b, now);
	if (verdict < 0)
		verdict = tcp_generate(ctx, f, b, p, now);
	h->id = 0;
	return verdict;
}

SEC("xdp_egress")
int tcp_egress(struct xdp_md *ctx)
{
	struct tcp_flow *f = flow_of(ctx->rx_queue_index);
	__u64 now = bpf_ktime_get_ns();
	int verdict;

	if (!f || !f->packet_ns)
		return XDP_TX;
	verdict = carousel_put(ctx, f->packet_ns, now);
	if (verdict == XDP_TX)
		paced_left(f, bpf_xdp_get_buff_len(ctx), now);
	return verdict < 0 ? XDP_REDIRECT : verdict;
}

license("Dual MIT/GPL");
