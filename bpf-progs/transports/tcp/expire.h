/* Deadlines that came: retransmission, probes, delayed ACKs, keepalive, the end of FIN_WAIT2. */
#pragma once
#include "gen.h"

static inline __u32 give_up(const struct tcp_flow *f, __u32 tries, __u32 limit, __u64 now)
{
	if (f->opt.user_timeout_ms)
		return now - f->stuck_ns >= f->opt.user_timeout_ms * NS_PER_MS;
	if (f->flags & FLOW_ORPHAN && limit > 8)
		limit = 8;
	return tries >= limit;
}

/* A peer that takes its window back but answers is there (RFC 9293 §3.8.6.1, SHLD-17); two of the longest waits. */
#define SHUT_US (2 * RTO_MAX_US)

static inline __u32 shut_gives_up(const struct tcp_flow *f, __u64 now)
{
	__u64 limit = f->opt.user_timeout_ms ? f->opt.user_timeout_ms * NS_PER_MS : SHUT_US * NS_PER_US;

	/* What was sent long after the last answer has its own time. */
	return now - (f->rcv_ns > f->stuck_ns ? f->rcv_ns : f->stuck_ns) >= limit;
}

static inline void time_out(struct tcp_flow *f)
{
	count(TCPAbortOnTimeout);
	tcp_done(f, 110 /* ETIMEDOUT */);
}

/* Large segments may be what the path loses, silently (RFC 4821 §7.7): smaller ones are tried, and later larger ones again. */
static inline void black_hole(struct tcp_flow *f, struct tcp_news *n, __u64 now)
{
	if (f->retries < 2 || f->mtu <= mtu_floor(f) || f->opt.flags & TCP_OPT_NO_PMTUD)
		return;
	mtu_search(f, 0, now);
	f->mtu = most(f->mtu / 2, mtu_floor(f));
	mss_sync(f);
	f->cc.mss = f->mss;
	cc_tell(f, n, EL_CC_MSS, 0, now);
	count(TCPMTUPFail);
}

static inline void on_rto(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n, __u64 now)
{
	__u32 limit = TCP_DEFAULT(f->opt.retries, 15), shut = established(f) && !f->snd_wnd && !(f->flags & FLOW_ORPHAN);

	if (f->state == TCP_SYN_SENT)
		limit = TCP_DEFAULT(f->opt.syn_retries, 6);
	else if (f->state == TCP_SYN_RECV)
		limit = TCP_DEFAULT(f->opt.synack_retries, 5);
	else if (f->snd_nxt == f->snd_una)
		return;
	if (shut ? shut_gives_up(f, now) : give_up(f, f->retries, limit, now)) {
		if (f->state == TCP_SYN_SENT || f->state == TCP_SYN_RECV)
			count(AttemptFails);
		time_out(f);
		return;
	}
	if (f->state == TCP_SYN_SENT || f->state == TCP_SYN_RECV) {
		f->flags |= FLOW_RETRANSMITTED;
		f->todo |= TODO_SYN;
		count(RetransSegs);
		count(TCPTimeouts);
	} else {
		black_hole(f, n, now);
		tcp_loss(f, b, n, now);
	}
	/* A shut window is no loss: once it opens all tries are left. */
	if (!shut)
		f->retries++;
	else if (f->rcv_ns > f->stuck_ns)
		f->stuck_ns = f->rcv_ns;
	if (f->backoff < 15)
		f->backoff++;
	xmit_due(f, XMIT_RTO, rto_due(f, now));
}

static inline void on_persist(struct tcp_flow *f, __u64 now)
{
	__u32 tries;

	if (!window_holds(f) && !cork_holds(f))
		return;
	if (window_open(f)) {
		f->todo |= TODO_NUDGE;
		return;
	}
	/* A peer that answers may keep its window shut for ever (RFC 9293 §3.8.6.1), but not of a connection that nobody has. */
	tries = f->flags & FLOW_ORPHAN ? most(f->probes, f->backoff) : f->probes;
	if (give_up(f, tries, TCP_DEFAULT(f->opt.retries, 15), now)) {
		time_out(f);
		return;
	}
	f->probes++;
	f->todo |= TODO_PROBE;
	if (f->backoff < 15)
		f->backoff++;
	count(TCPWinProbe);
	xmit_due(f, XMIT_PERSIST, rto_due(f, now));
}

/* RACK's wait for reordered segments is over. */
static inline void on_reorder(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n, __u64 now)
{
	memset(n, 0, offsetof(struct tcp_news, cc));
	n->prior_flight = pipe_of(f, b);
	tcp_rearm(f, b, now);
	tcp_rack(f, b, n, now);
	f->lost += n->lost;
	if (!n->lost || f->ca >= TCP_CA_RECOVERY || mtu_excuses(f, b, n))
		return;
	tcp_enter(f, n, TCP_CA_RECOVERY, 0, now);
	/* No ACK brought it: one segment goes, the ACKs that follow let the others go (RFC 6937 §3; Linux: tcp_rack_reo_timeout). */
	n->delivered = f->mss;
	if (!own_recovery(f))
		prr_step(f, b, n);
}

static inline void on_xmit(struct tcp_flow *f, struct tcp_board *b, struct tcp_news *n, __u64 now)
{
	__u32 what = f->xmit;

	f->xmit = XMIT_NONE;
	switch (what) {
	case XMIT_RTO:
		on_rto(f, b, n, now);
		break;
	case XMIT_TLP:
		f->todo |= TODO_TLP;
		xmit_due(f, XMIT_RTO, rto_due(f, now));
		break;
	case XMIT_REO:
		on_reorder(f, b, n, now);
		break;
	case XMIT_PERSIST:
		on_persist(f, now);
		break;
	}
}

/* Keepalive (RFC 9293 §3.8.4), or the end of a FIN_WAIT2 that nobody waits in. */
static inline void on_life(struct tcp_flow *f, __u64 now)
{
	__u64 idle_ns = TCP_DEFAULT(f->opt.keep_idle_ms, 7200000) * NS_PER_MS;

	if (f->state == TCP_FIN_WAIT2 && f->flags & FLOW_ORPHAN) {
		tcp_done(f, 0);
		return;
	}
	if (!(f->opt.flags & TCP_OPT_KEEPALIVE) || f->state == TCP_SYN_SENT || f->state == TCP_SYN_RECV)
		return;
	/* What is in flight asks by itself. */
	if (f->snd_nxt != f->snd_una || (!f->probes && now - f->rcv_ns < idle_ns)) {
		due(f, TIMER_LIFE, (f->snd_nxt != f->snd_una ? now : f->rcv_ns) + idle_ns);
		return;
	}
	if (f->opt.user_timeout_ms ? f->probes && now - f->rcv_ns >= f->opt.user_timeout_ms * NS_PER_MS :
				     f->probes >= TCP_DEFAULT(f->opt.keep_probes, 9)) {
		f->error = 110;
		owe(f, TODO_RST);
		count(TCPAbortOnTimeout);
		return;
	}
	f->probes++;
	f->todo |= TODO_PROBE;
	count(TCPKeepAlive);
	due(f, TIMER_LIFE, now + TCP_DEFAULT(f->opt.keep_interval_ms, 75000) * NS_PER_MS);
}

/* The timer of stream `id` went off. */
noinline int tcp_expire(__u32 id)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 zero = 0;
	struct tcp_news *n = bpf_map_lookup_elem(&tcp_newses, &zero);
	struct tcp_flow *f = flow_of(id);
	struct tcp_board *b = board_of(id);
	struct tcp_hand *h = hand();
	__u32 came = 0;

	if (!n || !f || !b || !h)
		return 0;
	hand_clean(h);
	/* The number may be that of another lane's flow by now: the state is looked at first, it is written last. */
	if (f->state == TCP_FREE || f->state == TCP_CLOSE || f->lane != bpf_get_smp_processor_id())
		return 0;
	h->id = id;
	f->armed_ns = 0;
	if (f->due_ns[TIMER_XMIT] && f->due_ns[TIMER_XMIT] <= now) {
		never(f, TIMER_XMIT);
		on_xmit(f, b, n, now);
		came = 1;
	}
	if (f->due_ns[TIMER_DELACK] && f->due_ns[TIMER_DELACK] <= now) {
		never(f, TIMER_DELACK);
		if (f->unacked) {
			came = 1;
			f->todo |= TODO_ACK;
			f->flags &= ~FLOW_PINGPONG;
			count(DelayedACKs);
		}
	}
	if (f->due_ns[TIMER_LIFE] && f->due_ns[TIMER_LIFE] <= now) {
		never(f, TIMER_LIFE);
		on_life(f, now);
		came = 1;
	}
	if (f->due_ns[TIMER_PACE] && f->due_ns[TIMER_PACE] <= now) {
		never(f, TIMER_PACE);
		came = 1;
	}
	if (f->state != TCP_CLOSE) {
		tcp_arm(f);
		/* Most often the deadline for which the timer was set has moved away. */
		if (came)
			el_ready(id);
	}
	h->id = 0;
	return 0;
}
