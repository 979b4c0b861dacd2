/*
 * Deadlines. A flow has four and one bpf_timer, which stands at the earliest or before it: a deadline that moves away
 * (as the RTO does with each ACK) leaves the timer alone, which then finds nothing due and is set anew.
 */
#pragma once
#include "flow.h"

int tcp_expire(__u32 id); /* expire.h */

static int on_clock(void *map, __u32 *id, struct tcp_clock *clock)
{
	tcp_expire(*id);
	return 0;
}

/* The timer of a stream that becomes a flow's; it stays with the stream. */
static inline void clock_init(__u32 id)
{
	struct tcp_clock *c = bpf_map_lookup_elem(&tcp_clocks, &id);

	if (!c)
		return;
	/* Whoever had the number before may have died between the two. */
	bpf_timer_init(&c->timer, &tcp_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, on_clock);
}

/* Makes the timer go off for the earliest deadline, unless it goes off sooner anyway. */
noinline int tcp_arm(struct tcp_flow *f NONNULL)
{
	__u64 at = f->due_ns[0], now = bpf_ktime_get_ns();
	__u32 id = f->id, i;
	struct tcp_clock *c;

	for (i = 1; i < TCP_TIMERS; i++)
		if (f->due_ns[i] && (!at || f->due_ns[i] < at))
			at = f->due_ns[i];
	if (!at || (f->armed_ns && f->armed_ns <= at))
		return 0;
	c = bpf_map_lookup_elem(&tcp_clocks, &id);
	if (!c)
		return -1;
	f->armed_ns = at;
	return bpf_timer_start(&c->timer, at > now ? at - now : 0, 0);
}

static inline void due(struct tcp_flow *f, enum tcp_timer which, __u64 at)
{
	f->due_ns[which] = at;
	if (!f->armed_ns || at < f->armed_ns)
		tcp_arm(f);
}

static inline void never(struct tcp_flow *f, enum tcp_timer which)
{
	f->due_ns[which] = 0;
}

static inline void xmit_due(struct tcp_flow *f, enum tcp_xmit what, __u64 at)
{
	f->xmit = what;
	due(f, TIMER_XMIT, at);
}
