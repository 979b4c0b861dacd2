/*
 * A congestion control of a user: additive increase, multiplicative decrease, as RFC 5681 has them. It decides what the
 * engine's own Reno decides, event by event; so it shows what a program of this kind is made of, and is easy to check.
 */
#include "struct_ops.h"

/* struct el_cc.priv. */
struct aimd {
	__u32 acked; /* bytes acknowledged since cwnd last grew, in congestion avoidance */
};

#define MOST_CWND (1u << 30)
#define INITIAL_SEGMENTS 10
/* Windows that one ACK can be worth; it never delivers more than was in flight. */
#define MOST_STEPS 64

static inline __u32 least(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

static inline __u32 most(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

/* A window of at least one segment. */
static inline __u32 window(const struct el_cc *cc, __u32 bytes)
{
	return most(least(bytes, MOST_CWND), cc->mss);
}

/* RFC 5681 §3.1: a byte for each byte up to ssthresh, then a segment for each window. */
static inline void grow(struct el_cc *cc, struct aimd *own, __u32 acked)
{
	__u32 cwnd = window(cc, cc->cwnd), slow = least(acked, cc->ssthresh > cwnd ? cc->ssthresh - cwnd : 0), sum, i;

	cwnd = window(cc, cwnd + slow);
	acked -= slow;
	if (acked) {
		sum = own->acked + acked;
		for (i = 0; i < MOST_STEPS; i++) {
			if (sum < cwnd)
				break;
			sum -= cwnd;
			cwnd = window(cc, cwnd + cc->mss);
		}
		own->acked = sum;
	}
	cc->cwnd = cwnd;
}

/* Equation (4), and what UNDO brings back. */
static inline void shrink(struct el_cc *cc, __u32 flight)
{
	cc->undo_cwnd = window(cc, cc->cwnd);
	cc->undo_ssthresh = cc->ssthresh;
	cc->ssthresh = window(cc, most(flight / 2, 2 * cc->mss));
}

static inline void undo(struct el_cc *cc)
{
	if (!cc->undo_cwnd)
		return;
	cc->cwnd = window(cc, most(cc->cwnd, cc->undo_cwnd));
	cc->ssthresh = most(cc->ssthresh, cc->undo_ssthresh);
	cc->undo_cwnd = 0;
}

SEC("struct_ops/aimd_init")
int OPS(aimd_init, struct el_cc *cc)
{
	cc->rate = 0; /* not paced */
	return 0;
}

SEC("struct_ops/aimd_event")
int OPS(aimd_event, struct el_cc *cc, const struct el_cc_event *event)
{
	struct aimd *own = (struct aimd *)cc->priv;

	switch (event->kind) {
	case EL_CC_ACK:
		if (!(event->flags & EL_CC_F_RECOVERY) && event->flags & EL_CC_F_CWND_LIMITED)
			grow(cc, own, event->acked);
		break;
	case EL_CC_ENTER:
		shrink(cc, event->in_flight);
		break;
	case EL_CC_LEAVE:
		cc->cwnd = window(cc, cc->ssthresh);
		own->acked = 0;
		break;
	case EL_CC_RTO:
		if (!(event->flags & EL_CC_F_AGAIN))
			shrink(cc, event->in_flight);
		cc->cwnd = cc->mss;
		own->acked = 0;
		break;
	case EL_CC_UNDO:
		undo(cc);
		break;
	case EL_CC_IDLE:
		cc->cwnd = least(window(cc, cc->cwnd), INITIAL_SEGMENTS * cc->mss);
		break;
	}
	return 0;
}

SEC(".struct_ops")
struct el_cc_ops aimd = {
	.init = (void *)aimd_init,
	.event = (void *)aimd_event,
	.name = "aimd",
};

license("Dual MIT/GPL");
