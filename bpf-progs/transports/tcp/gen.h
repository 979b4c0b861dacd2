/* The XDP_GEN program: takes in requests, sends what the flow chooses, notes what was sent. */
#pragma once
#include "choose.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_plan);
} tcp_plans SEC(".maps");

/* New data is in flight, or will be at `at`. */
static inline void sent_new(struct tcp_flow *f, struct tcp_board *b, const struct tcp_plan *p, __u64 at, __u64 now)
{
	__u32 end = p->seq + p->len + !!(p->flags & TCP_FIN), pipe;

	board_sent(b, f, end, US(at));
	if (f->snd_nxt == f->snd_una)
		f->stuck_ns = now;
	f->snd_nxt = end;
	if (p->probe) {
		f->flags |= FLOW_MTU_PROBE;
		f->probe_mtu = p->probe;
		f->probe_from = p->seq;
		f->probe_seq = end;
	}
	if (p->flags & TCP_FIN)
		f->flags |= FLOW_FIN_SENT;
	if (p->len < mss_now(f) && p->len)
		f->snd_sml = end;
	/* Slow start grows a window of which half is used, congestion avoidance one that is used (RFC 7661). */
	pipe = pipe_of(f, b);
	if (pipe + f->mss > f->cc.cwnd || (f->cc.cwnd < f->cc.ssthresh && 2 * pipe >= f->cc.cwnd))
		f->flags |= FLOW_CWND_LIMITED;
}

/* Old data is in flight again. -1: the board cannot note it. */
static inline int sent_again(struct tcp_flow *f, struct tcp_board *b, const struct tcp_plan *p, __u64 at, __u64 now)
{
	if (board_resend(b, f, p->seq, p->seq + p->len + !!(p->flags & TCP_FIN), US(at)))
		return -1;
	f->todo &= ~TODO_FORCE;
	/* In pieces that fit: what arrives then tells nothing of the probe. */
	f->flags &= ~FLOW_MTU_PROBE;
	f->retransmits++;
	f->undo_retrans++;
	if (!f->retrans_ts)
		f->retrans_ts = ts_now(f, now) ? ts_now(f, now) : 1;
	count(RetransSegs);
	if (f->ca == TCP_CA_RECOVERY)
		count(TCPFastRetrans);
	else if (f->ca == TCP_CA_LOSS)
		count(TCPSlowStartRetrans);
	return 0;
}

/* What was sent changes the flow. Returns the verdict. */
noinline int tcp_sent(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_plan *p NONNULL, __u32 bytes,
		      __u64 now)
{
	__u32 i;

	f->packet_ns = 0;
	switch (p->kind) {
	case PLAN_RST:
		count(OutRsts);
		tcp_done(f, f->error ? f->error : 104);
		return XDP_PASS;
	case PLAN_SYN:
		f->todo &= ~TODO_SYN;
		f->snd_nxt = f->iss + 1;
		f->sent_ns = now;
		if (f->xmit == XMIT_NONE)
			xmit_due(f, XMIT_RTO, rto_due(f, now));
		return XDP_PASS;
	case PLAN_MARK:
		f->marks--;
		for (i = 0; i < TCP_ACK_MARKS - 1; i++)
			f->mark[i] = f->mark[i + 1];
		return XDP_TX;
	case PLAN_RESEND:
	case PLAN_NEW:
		if (f->ca == TCP_CA_CWR || f->ca == TCP_CA_RECOVERY)
			f->prr_out += p->len;
		f->sent_ns = now;
		pace(f, bytes, departure(f, now), now);
		if (f->xmit == XMIT_NONE || f->xmit == XMIT_PERSIST || (f->xmit == XMIT_TLP && p->kind == PLAN_NEW))
			tcp_rearm(f, b, now);
		return XDP_TX;
	default: /* an ACK, alone: whatever else there was has gone before */
		if (f->state == TCP_TIME_WAIT) {
			tcp_time_wait(f, now);
			tcp_done(f, 0);
		}
		return f->todo & TODO_ACK ? XDP_TX : XDP_PASS;
	}
}

/* One packet, or none. */
noinline int tcp_generate(struct xdp_md *ctx, struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL,
			  struct tcp_plan *p NONNULL, __u64 now)
{
	__u32 zero = 0;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	__u64 at;
	int bytes;

	if (!n || f->state == TCP_FREE || f->state == TCP_CLOSE || !tcp_route(ctx, f, now))
		return XDP_ABORTED;
	p->frame = (data_end_of(ctx) - data_of(ctx)) - sizeof(struct ethhdr);
	if (!f->link_mtu || f->link_mtu > p->frame)
		f->link_mtu = p->frame;
	if (!f->mtu || f->mtu > p->frame) {
		f->mtu = p->frame;
		mss_sync(f);
	}
	if (tcp_choose(f, b, p, n, now) == PLAN_NONE) {
		/* Held back by the peer's window with nothing in flight: it must be asked. */
		if (f->snd_nxt == f->snd_una && f->xmit == XMIT_NONE && IN_STATE(f, SENDING))
			tcp_rearm(f, b, now);
		return XDP_ABORTED;
	}
	at = departure(f, now);
	if (p->kind == PLAN_NEW)
		sent_new(f, b, p, at, now);
	else if (p->kind == PLAN_RESEND && sent_again(f, b, p, at, now))
		return XDP_ABORTED;
	bytes = tcp_build(ctx, f, p, now);
	if (bytes < 0)
		return XDP_ABORTED;
	return tcp_sent(f, b, p, bytes, now);
}
