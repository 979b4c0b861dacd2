/* RACK-TLP (RFC 8985): losses by time. */
#pragma once
#include "sack.h"

#define DUP_THRESH 3
#define REO_PERSIST 16

/* The reordering window, µs (RFC 8985 §6.2 step 4). */
static inline __u32 reo_wnd_us(const struct tcp_flow *f, const struct tcp_board *b)
{
	__u32 us;

	if (!(f->flags & FLOW_REORDERING) && (f->ca >= TCP_CA_RECOVERY || b->sacked >= DUP_THRESH * f->mss))
		return 0;
	/* A path whose delay varies much reorders more than its least delay tells. */
	us = most(f->rtt.min_rtt / 4, f->rtt.srtt / 16) * (f->reo_mult + 1);
	return least(us, f->rtt.srtt);
}

/* Each round that shows a duplicate widens it, 16 recoveries without one reset it. */
static inline void reo_adapt(struct tcp_flow *f, const struct tcp_news *n)
{
	/* Not in flight any more. */
	if (f->reo_round - f->snd_una - 1 >= f->snd_nxt - f->snd_una)
		f->reo_round = 0;
	if (n->reordered)
		f->flags |= FLOW_REORDERING;
	if (n->dsack && !f->reo_round) {
		f->reo_round = f->snd_nxt;
		f->reo_persist = REO_PERSIST;
		if (f->reo_mult < 64)
			f->reo_mult++;
	}
}

static inline void reo_recovered(struct tcp_flow *f)
{
	if (!f->reo_persist) {
		f->reo_mult = 0;
		return;
	}
	f->reo_persist--;
}

/* Finds losses, and sets the timer for those that only time will tell. */
noinline int tcp_rack(struct tcp_flow *f NONNULL, struct tcp_board *b NONNULL, struct tcp_news *n NONNULL, __u64 now)
{
	if (!f->rack_rtt)
		return 0;
	board_rack(b, f, n, reo_wnd_us(f, b), US(now));
	if (n->hole_us)
		xmit_due(f, XMIT_REO, now + (n->hole_us + 1) * NS_PER_US);
	return 0;
}
