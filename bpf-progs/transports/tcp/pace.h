/*
 * Pacing: a packet of a flow with a rate leaves at a time of its own, out of the lane's timing wheel. GEN makes packets a
 * little ahead of their time, so that neither a late timer nor a long round makes a gap; what is on the scoreboard is when
 * they leave, so that no round trip has the wait in it.
 *
 *   pace_allows: not more than `pace_ahead` before its time ─▶ GEN ─▶ departure: tcp_flow.packet_ns ─▶ EGRESS: carousel_put
 *
 * A packet is due when the one before it was, plus that one's bytes by the rate, whatever the clock says by then: what a
 * lane that stood still owes is sent after, so that the rate over a second is the rate that was set. At most twice as fast
 * (`gate_ns`), as in Linux (tcp_update_skb_after_send: len_ns -= min(len_ns / 2, credit)); but Linux forgets what one
 * packet does not catch up. A flow that nothing but its pacing holds back (FLOW_BACKLOG) falls behind; who had nothing to send
 * owes nothing. While a window holds it (FLOW_HELD) it owes what it did (`behind_ns`), and of an application's own rate what
 * it is held for, too, a tenth of the time at most: a receiver that stood still is made good, and who is always held by his
 * window is not let off his rate for it.
 *
 * So in any time t leave at most rate × (2 t + PACE_AHEAD_MOST_NS) and two packets: what waits in the wheel leaves at once when
 * a pacer is late. One ms of the rate is what Linux, too, sends at once (sk_pacing_shift 10: the size of a TSO packet).
 */
#pragma once
#include "carousel.h"
#include "rtt.h"

/* Packets wait in the wheel for a quarter of a round trip at most: so much less can be in flight. */
#define PACE_AHEAD_MOST_NS NS_PER_MS
#define PACE_AHEAD_LEAST_NS 20000ULL
/* By so much a flow may be behind, 20 ms: some slices of a scheduler that has the lane's CPU for others. The rest is forgotten. */
#define PACE_CREDIT_NS (20 * NS_PER_MS)
/* Bits of a ns in tcp_flow.pace_part: 64 KiB times 10^9 has room above them. */
#define PACE_PART_BITS 16
/* One part of so many of the time is owed though a window held the flow, in the long run. */
#define PACE_HELD_PARTS 10

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

/* The rate is the application's, not congestion control's. */
static inline int pace_wished(const struct tcp_flow *f)
{
	return f->opt.rate && (!f->cc.rate || f->opt.rate <= f->cc.rate);
}

/* GEN need not be run: it would say no before the timer does. */
static inline int pace_waits(const struct tcp_flow *f, __u64 now)
{
	return f->flags & FLOW_BACKLOG && f->due_ns[TIMER_PACE] > now && pace_rate(f);
}

/* 0 = too long before the next packet's time; the timer will say when it is not. */
static inline int pace_allows(struct tcp_flow *f, __u64 now)
{
	__u64 at = f->pace_ns > f->gate_ns ? f->pace_ns : f->gate_ns, ahead = pace_ahead(f);

	if (at <= now + ahead)
		return 1;
	f->flags = (f->flags | FLOW_BACKLOG) & ~FLOW_HELD;
	carousel_mend(now);
	due(f, TIMER_PACE, at - ahead / 2);
	return 0;
}

/* By so much the flow may be behind. */
static inline __u64 pace_credit(const struct tcp_flow *f)
{
	return f->flags & FLOW_BACKLOG ? PACE_CREDIT_NS : f->behind_ns;
}

/* When the next packet is due: a flow that may catch up has been since a while ago, perhaps. */
static inline __u64 pace_due(struct tcp_flow *f, __u64 now)
{
	__u64 owed = pace_credit(f), first = now - owed, spent = f->spent_ns, long_ago = PACE_HELD_PARTS * PACE_CREDIT_NS, held;

	if (f->pace_ns >= first || !(f->flags & FLOW_HELD) || !pace_wished(f))
		return f->pace_ns > first ? f->pace_ns : first;
	if (now - spent > long_ago)
		spent = now - long_ago;
	held = (now - spent) / PACE_HELD_PARTS;
	if (held > first - f->pace_ns)
		held = first - f->pace_ns;
	if (held > PACE_CREDIT_NS - owed)
		held = PACE_CREDIT_NS - owed;
	f->spent_ns = spent + held * PACE_HELD_PARTS;
	f->behind_ns = owed + held;
	return first - held;
}

/* Something else than its pacing holds the flow back from here on; `done`: it has nothing to send. */
static inline void pace_rests(struct tcp_flow *f, int done, __u64 now)
{
	__u64 behind = now > f->pace_ns ? now - f->pace_ns : 0, most = pace_credit(f);

	/* It had nothing to send until now: that is owed to nobody, and what a window holds up counts from here. */
	if (!done && !(f->flags & (FLOW_BACKLOG | FLOW_HELD)) && behind) {
		f->pace_ns = now;
		behind = 0;
	}
	f->behind_ns = done ? 0 : behind < most ? behind : most;
	f->flags &= ~(FLOW_BACKLOG | FLOW_HELD);
	if (!done)
		f->flags |= FLOW_HELD;
}

/* When the packet that is being made leaves. */
static inline __u64 departure(const struct tcp_flow *f, __u64 now)
{
	__u64 at = f->pace_ns > f->gate_ns ? f->pace_ns : f->gate_ns;

	return at > now && pace_rate(f) ? at : now;
}

/*
 * It is `bytes` long, and leaves at `at`: the next one follows it. What its time has beyond whole ns is carried on: cut off,
 * at 10 Gbit/s it would be 0.02 % of the rate.
 */
static inline void pace(struct tcp_flow *f, __u32 bytes, __u64 at, __u64 now)
{
	__u64 rate = pace_rate(f), ns;

	f->packet_ns = 0;
	if (!rate)
		return;
	ns = (bytes * NS_PER_S << PACE_PART_BITS) / rate + f->pace_part;
	f->pace_part = ns & ((1 << PACE_PART_BITS) - 1);
	ns >>= PACE_PART_BITS;
	f->packet_ns = at;
	f->pace_ns = pace_due(f, now) + ns;
	f->gate_ns = at + ns / 2;
}

/*
 * A new rate holds from now on, not after what the old one said of the next packet, and owes nothing of the old one's; but no
 * packet overtakes what waits.
 */
static inline void pace_anew(struct tcp_flow *f, __u64 now)
{
	f->flags &= ~(FLOW_BACKLOG | FLOW_HELD);
	f->behind_ns = 0;
	if (f->gate_ns > now + PACE_AHEAD_MOST_NS)
		f->gate_ns = now + PACE_AHEAD_MOST_NS;
	if (f->pace_ns > now)
		f->pace_ns = f->gate_ns > now ? f->gate_ns : now;
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
