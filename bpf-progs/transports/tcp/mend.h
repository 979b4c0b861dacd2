/*
 * After the death of a lane. The flow that its programs had in hand is made whole from what a death cannot tear: state and
 * sequence numbers, each stored at once, and never before what they claim was done. What was in flight is taken for lost,
 * what lay beyond a hole is forgotten (a receiver may renege: RFC 2018 §8), deadlines are set anew. All other flows are
 * whole; but what they told the core may not have been heard, and their timer may have gone off without its callback.
 */
#pragma once
#include "route.h"

#define HANDSHAKE (S(SYN_SENT) | S(SYN_RECV))
/* A flow to which something came so lately may owe an ACK that died with the lane. */
#define LATELY_NS NS_PER_S

/* Tells the core how far both sides have got: what it has heard before is no error. */
static inline void tell_positions(const struct tcp_flow *f)
{
	__u32 una = f->snd_una, end = write_seq(f), rcv = f->rcv_nxt;

	if (after(una, end))
		una = end; /* our FIN */
	if (f->flags & FLOW_FIN_SEEN && after(rcv, f->fin_seq))
		rcv = f->fin_seq;
	el_stream_acked(f->id, una - f->iss - 1);
	el_stream_received(f->id, rcv - f->irs - 1);
	/* Noted before it was said. */
	if (f->snd_room)
		el_stream_snd_goal(f->id, 1u << (f->snd_room & 31));
}

/* EL_REQ_REVIVED: the lane died, not in the midst of this flow. */
noinline int tcp_revive(struct tcp_flow *f NONNULL, __u64 now)
{
	f->armed_ns = 0;
	tcp_arm(f);
	if (IN_STATE(f, HANDSHAKE))
		return 0;
	tell_positions(f);
	/* A peer that knows us by a cookie only takes nothing but our first segment, which is under way. */
	if (now - f->rcv_ns < LATELY_NS && (f->snd_una != f->iss + 1 || f->snd_nxt == f->snd_una))
		f->todo |= TODO_ACK;
	return 0;
}

/*
 * One span, all of it lost. Slow start leads back to the window that there was: a life that is as short as the last gets
 * something through, too.
 */
static inline void mend_sending(struct tcp_flow *f, struct tcp_board *b, __u64 now)
{
	__u32 out = f->snd_nxt - f->snd_una, cwnd = f->cc.cwnd;
	struct tcp_span *s = &b->span[0];

	s->end = f->snd_nxt;
	s->sent_us = US(now);
	s->delivered = f->delivered;
	s->delivered_us = f->delivered_us;
	s->first_us = f->first_us;
	s->flags = SPAN_LOST | SPAN_EVER;
	b->una = f->snd_una;
	b->head = b->sacked = b->resent = 0;
	b->count = out != 0;
	b->lost = out;
	f->lost += out;
	f->ca = out ? TCP_CA_LOSS : TCP_CA_OPEN;
	f->flags &= ~(FLOW_TLP | FLOW_TLP_RETRANS | FLOW_FRTO | FLOW_MTU_PROBE | FLOW_MTU_LOST);
	f->high_seq = f->snd_nxt;
	f->fack = f->snd_una;
	f->undo_marker = f->undo_retrans = f->retrans_ts = 0;
	f->dupacks = f->rack_rtt = f->reo_round = 0;
	f->retries = f->backoff = 0;
	/* The algorithm may have died between two of its words. */
	f->cc.flags = f->opt.flags & TCP_OPT_PACE ? EL_CC_PACED : 0;
	el_cc_init(&f->cc, f->opt.algorithm, f->mss);
	/* So may who changed it: what the former one's echo noted must not stay for ever. */
	f->flags &= f->cc.flags & EL_CC_DCTCP_ECHO ? ~FLOW_ECE : ~FLOW_CE_LAST;
	if (cwnd >= f->mss)
		f->cc.ssthresh = most(cwnd, 2 * f->mss);
}

/* What FINs change takes several steps. -1: that was the end of the flow. */
static inline int mend_closing(struct tcp_flow *f, __u64 now)
{
	if (f->flags & FLOW_FIN_QUEUED) {
		if (f->state == TCP_ESTABLISHED)
			f->state = TCP_FIN_WAIT1;
		else if (f->state == TCP_CLOSE_WAIT)
			f->state = TCP_LAST_ACK;
		if (f->snd_nxt == write_seq(f) + 1)
			f->flags |= FLOW_FIN_SENT;
	}
	if (f->flags & FLOW_FIN_SEEN && IN_STATE(f, RECEIVING)) {
		if (f->rcv_nxt == f->fin_seq + 1)
			f->rcv_nxt = f->fin_seq;
		if (f->rcv_nxt == f->fin_seq)
			tcp_fin(f);
	}
	if (f->flags & FLOW_FIN_SENT && f->snd_una == f->snd_nxt)
		tcp_fin_acked(f, now);
	return f->state == TCP_CLOSE ? -1 : 0;
}

static inline void mend_flow(struct tcp_flow *f, struct tcp_board *b, __u64 now)
{
	__u32 i;

	for (i = 0; i < TCP_TIMERS; i++)
		f->due_ns[i] = 0;
	f->armed_ns = 0;
	f->xmit = XMIT_NONE;
	f->todo &= TODO_RST;
	/* It is set before the RST that it stands for is owed. */
	if (f->error)
		f->todo |= TODO_RST;
	f->marks = f->repeats = 0;
	f->dsack_from = f->dsack_to = 0;
	f->ooo.count = f->ooo.bytes = 0;
	if (IN_STATE(f, HANDSHAKE)) {
		f->snd_una = f->iss;
		f->todo |= TODO_SYN;
		xmit_due(f, XMIT_RTO, now + rto_ns(f));
		return;
	}
	tell_positions(f);
	/* The ring may have grown, and the flow not heard of it. */
	f->rcv_size = el_stream_rcv_size(f->id, 0);
	mark_received(f, now);
	mend_sending(f, b, now);
	if (mend_closing(f, now))
		return;
	f->todo |= b->lost ? TODO_FORCE : TODO_ACK;
	tcp_rearm(f, b, now);
	if (f->opt.flags & TCP_OPT_KEEPALIVE)
		due(f, TIMER_LIFE, now + TCP_DEFAULT(f->opt.keep_idle_ms, 7200000) * NS_PER_MS);
	if (f->state == TCP_FIN_WAIT2 && f->flags & FLOW_ORPHAN)
		due(f, TIMER_LIFE, now + TCP_DEFAULT(f->opt.fin_timeout_ms, 60000) * NS_PER_MS);
}

/* Whether a table has the flow. */
noinline int is_listed(struct tcp_flow *f NONNULL)
{
	__u32 *entry;

	if (f->family == AF_INET) {
		struct tcp_key4 k;

		key4_of(f, &k);
		entry = bpf_map_lookup_elem(&tcp4, &k);
	} else {
		struct tcp_key6 k;

		key6_of(f, &k);
		entry = bpf_map_lookup_elem(&tcp6, &k);
	}
	return entry && *entry == entry_of(f->id);
}

/* What of flow `id` can go on goes on. Begun anew, should the lane die in it. */
static inline void mend(struct tcp_flow *f, struct tcp_board *b, __u32 id, __u32 opening, __u64 now)
{
	int listed = IN_STATE(f, ~(S(FREE) | S(CLOSE))) && is_listed(f);

	if (opening && !listed) {
		/* Nobody has heard of it: the SYN comes again. */
		opened(f);
		f->state = TCP_FREE;
		el_stream_free(id);
		return;
	}
	if (f->flags & FLOW_ENDING) {
		tcp_end(f);
		return;
	}
	if (!listed) {
		/* It was being connected, and that will be asked again (EL_REQ_CONNECT). */
		f->state = TCP_FREE;
		return;
	}
	mend_flow(f, b, now);
	el_ready(id);
}

noinline int tcp_mend(__u32 id)
{
	__u64 now = bpf_ktime_get_ns();
	struct tcp_flow *f = flow_of(id);
	struct tcp_board *b = board_of(id);
	struct tcp_hand *h = hand();

	if (!h)
		return 0;
	/* Given back before the lane died, the number may be another flow's. */
	if (f && b && !el_stream_event(id, 0)) {
		count(LaneDied);
		mend(f, b, id, h->opening, now);
	}
	h->opening = 0;
	h->id = 0;
	return 0;
}
