/* Round trips and what follows from them: RTO with back-off (RFC 6298), the time of a tail loss probe (RFC 8985 §7.2). */
#pragma once
#include "due.h"
#include "segment.h"
#include "spans.h"

#define RTO_INITIAL_US 1000000
#define RTO_FALLBACK_US 3000000 /* the handshake gave no sample: its segments went more than once (RFC 6298 §5.7) */
#define RTO_MAX_US 120000000
#define DELACK_MAX_US 200000
#define CORK_MAX_US 200000

/* The handshake is over. */
static inline int established(const struct tcp_flow *f)
{
	return f->state != TCP_SYN_SENT && f->state != TCP_SYN_RECV;
}

static inline __u32 rto_us(const struct tcp_flow *f)
{
	__u32 least_us = TCP_DEFAULT(f->opt.min_rto_us, 200000), rto;

	if (!f->rtt.srtt)
		return established(f) ? RTO_FALLBACK_US : RTO_INITIAL_US;
	rto = f->rtt.srtt + most(4 * f->rtt.rttvar, least_us);
	return least(rto, RTO_MAX_US);
}

/* With back-off, ns. */
static inline __u64 rto_ns(const struct tcp_flow *f)
{
	__u64 us = (__u64)rto_us(f) << (f->backoff & 15);

	return (us < RTO_MAX_US ? us : RTO_MAX_US) * NS_PER_US;
}

/* When it is due; not behind the end of the user timeout (RFC 9293 §3.8.3). */
static inline __u64 rto_due(const struct tcp_flow *f, __u64 now)
{
	__u64 at = now + rto_ns(f), end = f->stuck_ns + f->opt.user_timeout_ms * NS_PER_MS;

	return f->opt.user_timeout_ms && end > now && end < at ? end : at;
}

/* Probe timeout, ns: two round trips, and the peer's delayed ACK where one segment waits for it. */
static inline __u64 pto_ns(const struct tcp_flow *f)
{
	__u64 us = f->rtt.srtt ? 2 * (__u64)f->rtt.srtt : RTO_INITIAL_US;

	us += f->snd_nxt - f->snd_una <= f->mss ? DELACK_MAX_US : 2000;
	return us * NS_PER_US;
}

/* Bytes that the peer's window lets go. */
static inline __u32 window_open(const struct tcp_flow *f)
{
	__u32 edge = f->snd_una + f->snd_wnd;

	return after(edge, f->snd_nxt) ? edge - f->snd_nxt : 0;
}

/* There is something to send that the peer's window does not let go: it is shut, or silly. */
static inline int window_holds(const struct tcp_flow *f)
{
	__u32 avail = write_seq(f) - f->snd_nxt, open = window_open(f);

	if (f->flags & FLOW_FIN_SENT || !avail)
		return 0;
	return !open || (open < least(avail, f->mss) && open < f->max_wnd / 2);
}

/* A small segment waits for the application to say more. */
static inline int cork_holds(const struct tcp_flow *f)
{
	__u32 avail = write_seq(f) - f->snd_nxt;

	return f->opt.flags & TCP_OPT_CORK && avail && avail < f->mss && !(f->flags & (FLOW_FIN_QUEUED | FLOW_URGENT_OUT));
}

/*
 * Sets the transmission timer anew: after an ACK that moved, after a transmission when none was running. `b` may hold
 * nothing in flight: then the timer is that of window probes, or off.
 */
noinline int tcp_rearm(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, __u64 now)
{
	__u64 rto = rto_ns(f), pto;

	if (f->snd_nxt == f->snd_una) {
		if (IN_STATE(f, SENDING) && window_holds(f)) {
			/* However long there was nothing to send: the user timeout counts from here. */
			if (f->xmit != XMIT_PERSIST) {
				f->stuck_ns = now;
				xmit_due(f, XMIT_PERSIST, rto_due(f, now));
			}
		} else if (IN_STATE(f, SENDING) && cork_holds(f)) {
			/* Not for ever (tcp(7), TCP_CORK). */
			if (f->xmit != XMIT_PERSIST)
				xmit_due(f, XMIT_PERSIST, now + CORK_MAX_US * NS_PER_US);
		} else {
			f->xmit = XMIT_NONE;
			never(f, TIMER_XMIT);
		}
		return 0;
	}
	if (f->ca == TCP_CA_OPEN && f->flags & FLOW_SACK && !(f->flags & FLOW_TLP) && !b->sacked && !f->backoff &&
	    !(f->opt.flags & TCP_OPT_NO_TLP) && IN_STATE(f, SENDING)) {
		pto = pto_ns(f);
		if (pto < rto) {
			xmit_due(f, XMIT_TLP, now + pto);
			return 0;
		}
	}
	xmit_due(f, XMIT_RTO, rto_due(f, now));
	return 0;
}

/* Our timestamp clock: ms, from a place of each connection's own (RFC 7323 §5.4, and §7.1 for why). */
static inline __u32 ts_now(const struct tcp_flow *f, __u64 now)
{
	return MS(now) + f->ts_offset;
}

/* Takes an ACK's round trip: of the piece in flight, else by the echoed timestamp. */
static inline void tcp_rtt(struct tcp_flow *f, struct tcp_news *n, const struct tcp_segment *s)
{
	__u32 us = n->una_moved && n->seq_rtt_us ? n->seq_rtt_us : n->rtt_us, ms;

	if (!us && n->una_moved && f->flags & FLOW_TIMESTAMPS && s->timestamps && s->tsecr) {
		ms = ts_now(f, s->now) - s->tsecr;
		if (ms < 600000)
			us = most(ms * 1000, 1);
	}
	if (us)
		el_rtt_sample(&f->rtt, us);
}
