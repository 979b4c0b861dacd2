/*
 * Time: one timer a slot, armed when something is waited for and it does not run already. A call that is quick finds it
 * running or leaves it be: nobody stops it, it finds nothing to do.
 */
#pragma once
#include "slot.h"

#define TICK_MS 5        /* as HomaModule's resend_ticks: it looks every five of its ticks of 1 ms */
#define NEED_ACK_MS 2
#define NEIGHBOUR_MS 2   /* how often it is looked whether a neighbour has answered, */
#define UNANSWERED_MS 3000 /* and when it will not: three requests, a second apart */
#define RESEND_TICKS 5
#define TIMEOUT_TICKS 100
#define GRANTLESS_TICKS 1000 /* who waits for a grant may do so longer: many senders, one receiver */
#define REST_MS 500      /* a channel that is not used is freed after it, */
#define LIFE_NS (2000 * NS_PER_MS) /* and what it was remembered for longer than packets live */

static int on_clock(void *map, __u32 *id, struct homa_clock *clock)
{
	struct homa_rpc *r = rpc_of(*id);

	if (r) {
		r->ticked = r->armed;
		r->armed = ARMED_NOT;
	}
	el_ready(*id);
	return 0;
}

static inline void homa_arm(struct homa_rpc *r, __u32 id, __u64 ms, enum homa_armed as)
{
	struct homa_clock *c = bpf_map_lookup_elem(&homa_clocks, &id);

	if (!c)
		return;
	/* It stays with the stream; whoever had the number before may have died between the two. */
	bpf_timer_init(&c->timer, &homa_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, on_clock);
	bpf_timer_start(&c->timer, ms * NS_PER_MS, 0);
	r->armed = as;
}

/* Something is waited for from now on. */
static inline void homa_await(struct homa_rpc *r, __u32 id)
{
	r->heard = 1;
	r->silent = 0;
	if (r->armed != ARMED_TICK)
		homa_arm(r, id, TICK_MS, ARMED_TICK);
}
