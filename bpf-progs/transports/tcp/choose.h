/*
 * What a flow sends next, most urgent first: RST, SYN, retransmissions, new data, probes, an ACK alone. One packet a
 * run; GEN asks again until there is none.
 */
#pragma once
#include "request.h"
#include "output.h"
#include "pace.h"

/* What a segment may carry now: SACK blocks take their room from it. */
static inline __u32 mss_now(const struct tcp_flow *f)
{
	__u32 blocks = sack_blocks(f), mss = f->mss;

	return blocks ? mss - 4 - 8 * blocks : mss;
}

static inline void plan_ack(const struct tcp_flow *f, struct tcp_plan *p, __u8 kind)
{
	p->kind = kind;
	p->seq = f->snd_nxt;
	p->ack = f->rcv_nxt;
	p->flags = TCP_ACK;
	p->len = 0;
}

/* ECE as the receiver's side has it. */
static inline __u32 echo_flag(const struct tcp_flow *f)
{
	return f->flags & (FLOW_ECE | FLOW_CE_LAST) ? TCP_ECE : 0;
}

/* Data and FIN of a range that is known to be ours to send. */
static inline void plan_range(const struct tcp_flow *f, struct tcp_plan *p, __u8 kind, __u32 from, __u32 len)
{
	__u32 end = write_seq(f), data = end - from;

	p->kind = kind;
	p->seq = from;
	p->ack = f->rcv_nxt;
	p->flags = TCP_ACK;
	p->len = least(len, data);
	if (p->len == data && p->len)
		p->flags |= TCP_PSH;
	if (p->len == data && f->flags & FLOW_FIN_QUEUED && len > data)
		p->flags |= TCP_FIN;
	if (f->flags & FLOW_URGENT_OUT && after(f->snd_up, from)) {
		p->flags |= TCP_URG;
		p->urgent = least(f->snd_up - from, 65535);
	}
}

/*
 * Bytes from `from` on that may go again. Beyond a window that was taken back nothing goes but the first segment, which asks
 * for it (RFC 9293 §3.8.6.1; Linux: __tcp_retransmit_skb).
 */
static inline __u32 window_again(const struct tcp_flow *f, __u32 from)
{
	__u32 edge = f->snd_una + f->snd_wnd;

	if (after(edge, from))
		return edge - from;
	return from == f->snd_una ? mss_now(f) : 0;
}

/* A lost piece that may go again. 1: planned. */
noinline int plan_resend(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_plan *p NONNULL)
{
	struct el_range r = {};
	__u32 len;

	if (!board_next(b, &r)) {
		f->todo &= ~TODO_FORCE;
		return 0;
	}
	len = least(least(r.to - r.from, mss_now(f)), window_again(f, r.from));
	/* The peer has taken its window back: it is asked by the first segment alone. */
	if (!len)
		return 0;
	if (!(f->todo & TODO_FORCE) && pipe_of(f, b) + len > cwnd_of(f)) {
		f->flags |= FLOW_CWND_LIMITED;
		return 0;
	}
	plan_range(f, p, PLAN_RESEND, r.from, len);
	return 1;
}

/* Nagle (RFC 896), as Minshall bettered it: a small segment waits for the small one before it. */
static inline int nagle_holds(const struct tcp_flow *f, __u32 len, __u32 mss)
{
	if (len >= mss || f->flags & (FLOW_FIN_QUEUED | FLOW_URGENT_OUT))
		return 0;
	if (f->opt.flags & TCP_OPT_CORK)
		return 1;
	return !(f->opt.flags & TCP_OPT_NODELAY) && after(f->snd_sml, f->snd_una);
}

/* Nothing is left to send: samples of the rate say little until what is in flight, `pipe`, is through. */
static inline void run_dry(struct tcp_flow *f, __u32 pipe)
{
	f->app_limited = f->delivered + pipe;
	if (!f->app_limited)
		f->app_limited = 1;
	if (pipe < cwnd_of(f) / 2)
		f->flags &= ~FLOW_CWND_LIMITED;
}

/* New data, or the FIN. `probe`: a tail loss probe, which cwnd does not hold back. */
noinline int plan_new(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_plan *p NONNULL, __u32 probe)
{
	__u32 avail = write_seq(f) - f->snd_nxt, mss = mss_now(f), open = window_open(f), pipe, len;
	int fin = f->flags & FLOW_FIN_QUEUED && !(f->flags & FLOW_FIN_SENT);

	if (f->flags & FLOW_FIN_SENT)
		return 0;
	pipe = pipe_of(f, b);
	if (!avail && !fin) {
		run_dry(f, pipe);
		return 0;
	}
	len = least(least(avail, mss), open);
	if (avail && !len)
		return 0;
	if (len < avail && len < mss) {
		/* The window cuts it short: wait for more, unless it is half of what the peer ever offered (RFC 9293 §3.8.6.2.1). */
		if (len < f->max_wnd / 2 && !probe)
			return 0;
	} else if (len && !probe && nagle_holds(f, len, mss)) {
		return 0;
	}
	if (!probe && pipe && pipe + len > cwnd_of(f)) {
		f->flags |= FLOW_CWND_LIMITED;
		return 0;
	}
	plan_range(f, p, PLAN_NEW, f->snd_nxt, len + (fin && len == avail));
	return 1;
}

/*
 * A probe of the path's MTU out of new data, if so much follows it that SACKs will tell of its loss (RFC 4821 §7.4).
 * 1: planned.
 */
noinline int plan_probe(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_plan *p NONNULL, __u64 now)
{
	__u32 len, all, mtu;

	/* Nearly always it is known that no larger one goes. */
	if (f->mtu >= mtu_ceiling(f) || f->flags & (FLOW_MTU_PROBE | FLOW_MTU_LOST | FLOW_URGENT_OUT | FLOW_FIN_SENT) ||
	    !(f->flags & FLOW_SACK) || f->ca != TCP_CA_OPEN || b->sacked || sack_blocks(f))
		return 0;
	mtu = mtu_candidate(f, now);
	if (!mtu || mtu > p->frame)
		return 0;
	len = f->mss + mtu - f->mtu;
	all = len + (DUP_THRESH + 1) * f->mss;
	if (write_seq(f) - f->snd_nxt < all || window_open(f) < all || pipe_of(f, b) + all > cwnd_of(f))
		return 0;
	plan_range(f, p, PLAN_NEW, f->snd_nxt, len);
	p->probe = mtu;
	return 1;
}

/* After an idle time the old window says nothing of the path (RFC 5681 §4.1). */
static inline void idle_restart(struct tcp_flow *f, struct tcp_news *n, __u64 now)
{
	if (f->snd_nxt != f->snd_una || !f->sent_ns || f->opt.flags & TCP_OPT_NO_IDLE_RESTART)
		return;
	if (now - f->sent_ns > rto_us(f) * NS_PER_US && f->ca == TCP_CA_OPEN)
		cc_tell(f, n, EL_CC_IDLE, 0, now);
}

/* What congestion control and both windows let go: lost data, then new. 1: planned. */
static inline int plan_queued(struct tcp_flow *f, struct tcp_board *b, struct tcp_plan *p, struct tcp_news *n, __u64 now)
{
	if (b->lost) {
		/* F-RTO step 2b: after the first ACK new data goes first; where there is none, the old way. */
		if (f->flags & FLOW_FRTO && !(f->todo & TODO_FORCE)) {
			if (plan_new(f, b, p, 0))
				return 1;
			if (!(f->flags & FLOW_CWND_LIMITED))
				f->flags &= ~FLOW_FRTO;
		}
		return plan_resend(f, b, p);
	}
	f->todo &= ~TODO_FORCE;
	idle_restart(f, n, now);
	return plan_probe(f, b, p, now) || plan_new(f, b, p, 0);
}

/* All that there is to send was sent, and none of it is known to be lost; or all but `crumb` bytes. */
static inline int is_dry(const struct tcp_flow *f, const struct tcp_board *b, __u32 crumb)
{
	if (b->lost)
		return 0;
	return f->flags & FLOW_FIN_QUEUED ? !!(f->flags & FLOW_FIN_SENT) : write_seq(f) - f->snd_nxt <= crumb;
}

/* Data, by the states that may send it. 1: planned. */
static inline int plan_data(struct tcp_flow *f, struct tcp_board *b, struct tcp_plan *p, struct tcp_news *n, __u64 now)
{
	__u64 rate;
	int planned, dry;

	if (f->todo & TODO_TLP) {
		f->todo &= ~TODO_TLP;
		if (f->snd_nxt != f->snd_una && !(f->flags & FLOW_TLP)) {
			if (plan_new(f, b, p, 1)) {
				f->flags |= FLOW_TLP;
				f->tlp_seq = p->seq + p->len + !!(p->flags & TCP_FIN);
			} else {
				__u32 len = least(f->snd_nxt - f->snd_una, mss_now(f)), from = f->snd_nxt - len;

				if (window_again(f, from) < len)
					return 0;
				plan_range(f, p, PLAN_RESEND, from, len);
				f->flags |= FLOW_TLP | FLOW_TLP_RETRANS;
				f->tlp_seq = f->snd_nxt;
			}
			count(TCPLossProbes);
			return 1;
		}
	}
	if (f->todo & TODO_NUDGE) {
		f->todo &= ~TODO_NUDGE;
		return plan_new(f, b, p, 1);
	}
	rate = pace_rate(f);
	/* Who has nothing to send is not held back by its rate. */
	dry = rate && is_dry(f, b, 0);
	if (rate && !dry && !pace_allows(f, now))
		return 0;
	planned = plan_queued(f, b, p, n, now);
	/* Less than a segment waits for its application more than for anything else. */
	if (!planned && rate)
		pace_rests(f, dry || is_dry(f, b, f->mss - 1), now);
	return planned;
}

/*
 * Before the RST of a close with data unread goes what was written and may go: in Linux write(2) has sent it by then. Who aborts
 * wants no more of it sent. 1: planned.
 */
static inline int last_words(struct tcp_flow *f, struct tcp_board *b, struct tcp_plan *p)
{
	return !f->error && IN_STATE(f, SENDING) && !b->lost && plan_new(f, b, p, 0);
}

/* Decides. PLAN_NONE: nothing more. */
noinline int tcp_choose(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_plan *p NONNULL,
			struct tcp_news *n NONNULL, __u64 now)
{
	p->kind = PLAN_NONE;
	p->urgent = 0;
	p->ect = 0;
	p->probe = 0;
	if (f->state == TCP_CLOSE || f->state == TCP_FREE)
		return PLAN_NONE;
	if (f->todo & TODO_RST) {
		if (last_words(f, b, p))
			return p->kind;
		plan_ack(f, p, PLAN_RST);
		p->flags = TCP_RST | TCP_ACK;
		return PLAN_RST;
	}
	if (f->todo & TODO_SYN) {
		p->kind = PLAN_SYN;
		p->seq = f->iss;
		p->len = 0;
		p->ack = f->rcv_nxt;
		p->flags = TCP_SYN;
		if (f->state == TCP_SYN_RECV)
			p->flags |= TCP_ACK | (f->flags & FLOW_ECN ? TCP_ECE : 0);
		else if (f->opt.flags & TCP_OPT_ECN && f->retries < 3)
			p->flags |= TCP_ECE | TCP_CWR; /* not for ever: some middleboxes swallow it (RFC 3168 §6.1.1.1) */
		if (f->state == TCP_SYN_SENT)
			p->ack = 0;
		return PLAN_SYN;
	}
	if (f->state == TCP_SYN_SENT || (f->state == TCP_SYN_RECV && !(f->todo & TODO_ACK)))
		return PLAN_NONE;
	if (f->state == TCP_SYN_RECV) {
		/* What is not acceptable is answered in every state (RFC 9293 §3.10.7.4, first check). */
		plan_ack(f, p, PLAN_ACK);
		return PLAN_ACK;
	}
	if (f->marks) {
		plan_ack(f, p, PLAN_MARK);
		p->ack = f->mark[0].ack;
		if (f->mark[0].ece)
			p->flags |= TCP_ECE;
		return PLAN_MARK;
	}
	if (IN_STATE(f, SENDING) && plan_data(f, b, p, n, now)) {
		if (p->len && f->flags & FLOW_ECN && p->kind == PLAN_NEW) {
			p->ect = 1;
			if (f->flags & FLOW_CWR) {
				p->flags |= TCP_CWR;
				f->flags &= ~FLOW_CWR;
			}
		}
	} else if (f->todo & TODO_PROBE) {
		f->todo &= ~TODO_PROBE;
		plan_ack(f, p, PLAN_PROBE);
		p->seq = f->snd_una - 1;
	} else if (f->todo & TODO_ACK || (IN_STATE(f, RECEIVING) && window_news(f))) {
		plan_ack(f, p, PLAN_ACK);
		count(TCPPureAcks);
	}
	p->flags |= echo_flag(f);
	return p->kind;
}
