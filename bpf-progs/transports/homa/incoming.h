/*
 * What is under way: of every message of which something came, the bytes that may be sent and have not arrived, asked for or not.
 * A lane knows the sum of its own, and grants no more than makes max_incoming with it. Lanes share that alike: those that grant.
 *
 *   bytes come, or what was granted does not ─▶ less is under way ─▶ who was granted less than its part (`needy`) is served
 *   a GRANT                                  ─▶ more
 *
 * What a sender was granted and keeps to itself, and what is lost, would stop everybody: the clock of such a slot takes it out of
 * the sum until bytes of it come again. And an active message that has nothing under way is granted a packet by its own clock,
 * whatever others claim.
 */
#pragma once
#include "waiting.h"

const volatile __u32 homa_max_incoming = 400000;

/* Between two of a sum's words: a lane that dies in between leaves them so that the sum can be told from them. */
#define in_order() asm volatile("" ::: "memory")

/* The lane may have died while it changed its sum. */
static inline void incoming_settle(struct homa_receiver *v)
{
	struct homa_rpc *r;

	if (!v->moving)
		return;
	r = rpc_of(v->moving);
	v->incoming = v->others + (r ? r->in_counted : 0);
	in_order();
	v->moving = 0;
}

static inline __u32 under_way(const struct homa_rpc *r)
{
	__u32 got = in_received(r);

	if (r->phase != PHASE_IN || (r->state != SLOT_CLIENT && r->state != SLOT_SERVER) || r->in_len == LEN_UNKNOWN || r->quiet ||
	    r->in_granted <= got)
		return 0;
	return r->in_granted - got;
}

/* The sum has this slot's part as it is now. */
static inline void recount(struct homa_rpc *r, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 now = under_way(r);

	if (!v)
		return;
	incoming_settle(v);
	if (now == r->in_counted)
		return;
	v->others = v->incoming - r->in_counted;
	in_order();
	v->moving = id;
	in_order();
	r->in_counted = now;
	v->incoming = v->others + now;
	in_order();
	v->moving = 0;
}

noinline int homa_recount(struct homa_rpc *r NONNULL, __u32 id)
{
	recount(r, id);
	return 0;
}

/* Of max_incoming, what is this lane's. */
static inline __u32 incoming_share(void)
{
	__u32 lanes = 0, key = 0, i;
	struct homa_granters *all;

	if (homa_lane_count <= 1)
		return homa_max_incoming;
	all = bpf_map_lookup_elem(&homa_granters, &key);
	if (!all)
		return homa_max_incoming;
	/* The sum of eight bytes. */
	for (i = 0; i < ETHERLOOM_MAX_LANES / 8; i++)
		lanes += all->lanes[i] * 0x0101010101010101ULL >> 56;
	return lanes > 1 ? homa_max_incoming / lanes : homa_max_incoming;
}

/* How many bytes may be granted beyond those that are under way. */
static inline __u32 incoming_room(const struct homa_receiver *v)
{
	__u32 share = incoming_share();

	return v->incoming < share ? share - v->incoming : 0;
}
