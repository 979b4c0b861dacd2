/*
 * Pacing: a packet of a flow with a rate leaves at a time of its own, out of the lane's timing wheel. GEN makes packets a
 * little ahead of their time, so that neither a late timer nor a long round makes a gap; what is on the scoreboard is when
 * they leave, so that no round trip has the wait in it.
 *
 *   pace_allows: not more than `pace_ahead` before its time ─▶ GEN ─▶ departure: tcp_flow.packet_ns ─▶ EGRESS: carousel_put
 */
#pragma once
#include "carousel.h"
#include "rtt.h"

/* Packets wait in the wheel for a quarter of a round trip at most: so much less can be in flight. */
#define PACE_AHEAD_MOST_NS NS_PER_MS
#define PACE_AHEAD_LEAST_NS 20000ULL
/* A lane that stood still for less catches up with what only the rate held back: the rate is kept, not the gaps. */
#define PACE_CREDIT_NS (20 * NS_PER_MS)

static inline __u64 pace_ahead(const struct tcp_flow *f)
{
	__u64 ns = f->rtt.srtt * NS_PER_US / 4;

	if (!ns || ns > PACE_AHEAD_MOST_NS)
		return PACE_AHEAD_MOST_NS;
	return ns < PACE_AHEAD_LEAST_NS ? PACE_AHEAD_LEAST_NS : ns;
}

/* Bytes of frames per second: what congestion control says, and no more than the application allows. 0: not paced. */
static inline __u64 pace_rate(const struct tcp_flow *f)
{
	__u64 rate = f->cc.rate;

	return f->opt.rate && (!rate || f->opt.rate < rate) ? f->opt.rate : rate;
}

/* 0 = too long before the next packet's time; the timer will say when it is not. */
static inline int pace_allows(struct tcp_flow *f, __u64 now)
{
	__u64 ahead = pace_ahead(f);

	if (f->pace_ns <= now + ahead)
		return 1;
	f->flags |= FLOW_BACKLOG;
	carousel_mend(now);
	due(f, TIMER_PACE, f->pace_ns - ahead / 2);
	return 0;
}

/* When the packet that is being made leaves. */
static inline __u64 departure(const struct tcp_flow *f, __u64 now)
{
	__u64 first = f->flags & FLOW_BACKLOG ? now - PACE_CREDIT_NS : now;

	if (!pace_rate(f))
		return now;
	return f->pace_ns > first ? f->pace_ns : first;
}

/* It is `bytes` long: the next one follows it. */
static inline void pace(struct tcp_flow *f, __u32 bytes, __u64 at)
{
	__u64 rate = pace_rate(f);

	f->packet_ns = rate ? at : 0;
	if (rate)
		f->pace_ns = at + bytes * NS_PER_S / rate;
}

/* A new rate holds from now on, not after what the old one said of the next packet. */
static inline void pace_anew(struct tcp_flow *f, __u64 now)
{
	if (f->pace_ns > now)
		f->pace_ns = now;
}

static inline void paced_left(struct tcp_flow *f, __u32 bytes, __u64 now)
{
	f->left_ns = now;
	f->left_bytes += bytes;
}

/* The wheel lets a packet go. Its flow may be over, and its number another's: these are figures only. */
static inline void carousel_sent(const struct xdp_frame *frame, __u64 now)
{
	struct tcp_flow *f = flow_of(frame->stream);

	if (f)
		paced_left(f, frame->len, now);
}
