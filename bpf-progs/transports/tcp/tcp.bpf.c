/*
 * TCP (RFC 9293) as eBPF programs: the whole state machine, in the lane that owns the flow.
 *
 *   XDP  tcp_entrance ─ PROG_ARRAY by protocol ─▶ tcp_ingress, tcp_icmp
 *   GEN  tcp_gen: a packet of a ready flow          EGRESS  tcp_egress: when it leaves
 *   bpf_timer of a flow: expire.h
 */
#include "expire.h"
#include "icmp.h"

/* Transports by IP protocol: what stands here takes the packets, the next program of the port the others. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} transports SEC(".maps");

/* Looks at link and IP headers only, and hands on. */
SEC("xdp")
int tcp_entrance(struct xdp_md *ctx)
{
	void *data = data_of(ctx), *end = data_end_of(ctx);
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		bpf_tail_call(ctx, &transports, ip->protocol);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);
		__u32 next;

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		/* Extension headers are the transport's to walk. */
		next = ip->nexthdr;
		if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS)
			next = IPPROTO_TCP;
		bpf_tail_call(ctx, &transports, next);
	}
	return XDP_PASS;
}

SEC("xdp")
int tcp_ingress(struct xdp_md *ctx)
{
	struct tcp_segment *s = scratch();
	struct tcp_flow *f;
	int kind, id;

	if (!s)
		return XDP_ABORTED;
	kind = tcp_parse(ctx, s);
	if (kind != SEGMENT_OK) {
		if (kind == SEGMENT_NOT_OURS)
			return XDP_PASS;
		count(kind < 0 ? InCsumErrors : InErrs);
		return XDP_DROP;
	}
	count(InSegs);
	id = flow_id(s);
	if (id < 0)
		return tcp_stranger(ctx, s);
	f = flow_of(id);
	if (!f)
		return XDP_ABORTED;
	if (f->lane != bpf_get_smp_processor_id()) {
		count(OtherLane);
		return bpf_redirect_map(&tcp_lanes, f->lane, XDP_DROP);
	}
	return tcp_segment_of(ctx, f, s);
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
	__u64 now = bpf_ktime_get_ns();

	if (!p || !f || !b)
		return XDP_ABORTED;
	asked = el_stream_requests(id);
	if (asked)
		tcp_requests(f, b, id, asked, now);
	return tcp_generate(ctx, f, b, p, now);
}

SEC("xdp_egress")
int tcp_egress(struct xdp_md *ctx)
{
	return XDP_TX;
}

license("Dual MIT/GPL");
