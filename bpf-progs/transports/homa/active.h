/*
 * The messages that are granted to: up to eight places of a lane, one of a peer at most, with how much is left of each; and the
 * trees of those that wait for one (waiting.h).
 */
#pragma once
#include "want.h"

#define OVERCOMMIT 8
#define ONE_PACKET 1500

const volatile __u32 homa_overcommit = OVERCOMMIT;
const volatile __u32 homa_max_sched = 3; /* highest priority of granted bytes */

struct homa_own_cutoffs {
	__u32 cutoffs[HOMA_PRIORITIES]; /* longest message of each priority, lowest first */
	__u32 version;                  /* 0: senders do as they like, */
	__u32 max_sched;                /* and of granted bytes homa_max_sched is the highest priority */
};
HOMA_MAP(homa_cutoffs, ARRAY, 1, __u32, struct homa_own_cutoffs);

static inline __u32 max_sched(void)
{
	__u32 key = 0;
	struct homa_own_cutoffs *own = bpf_map_lookup_elem(&homa_cutoffs, &key);

	return own && own->version ? own->max_sched : homa_max_sched;
}

struct homa_active {
	__u32 id;
	__u32 peer; /* 0: nobody's place */
	__u32 left;
	__u32 priority; /* of its last grant */
};

struct homa_receiver {
	struct bpf_spin_lock lock;
	__u32 count; /* of active */
	struct bpf_rb_root best __contains(homa_want, node);
	struct bpf_rb_root aged __contains(homa_want, aged);
	struct bpf_rb_root peers __contains(homa_want, mine);
	struct homa_active active[OVERCOMMIT];
	struct homa_active done[OVERCOMMIT]; /* granted to their ends: they have their ranks until their bytes are here */
	__u32 needy;  /* bits of the places whose messages were granted less than their part, for others have not come (incoming.h) */
	__u32 incoming; /* bytes that are under way to this lane, */
	__u32 moving;   /* the slot whose part of that changes just now, */
	__u32 others;   /* and the sum without it */
	__s32 fewest; /* bytes to be granted to those with the fewest left, before the oldest has its turn */
	__u32 born;
};
HOMA_MAP(homa_receivers, ARRAY, ETHERLOOM_MAX_LANES, __u32, struct homa_receiver);

/* Which lanes grant: a byte of each, 1 or 0. */
struct homa_granters {
	__u64 lanes[ETHERLOOM_MAX_LANES / 8];
};
HOMA_MAP(homa_granters, ARRAY, 1, __u32, struct homa_granters);
const volatile __u32 homa_lane_count = 1;

static inline struct homa_receiver *receiver_here(void)
{
	__u32 lane = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&homa_receivers, &lane);
}

/* A number of the peer, never 0. Two that have the same are taken for one. */
static inline __u32 peer_number(const __be32 *address)
{
	return ((address[0] ^ address[1] ^ address[2] ^ address[3]) * 0x9e3779b1U) | 1;
}

static inline __u32 in_received(const struct homa_rpc *r)
{
	return r->in_next + r->spans.bytes;
}

static inline int is_active(const struct homa_receiver *v, __u32 peer)
{
	return v->active[0].peer == peer || v->active[1].peer == peer || v->active[2].peer == peer || v->active[3].peer == peer ||
	       v->active[4].peer == peer || v->active[5].peer == peer || v->active[6].peer == peer || v->active[7].peer == peer;
}

static inline void set_count(struct homa_receiver *v, __u32 count)
{
	__u32 lane = bpf_get_smp_processor_id() % ETHERLOOM_MAX_LANES, key = 0;
	struct homa_granters *all;

	v->count = count;
	if (homa_lane_count <= 1)
		return;
	all = bpf_map_lookup_elem(&homa_granters, &key);
	if (all && ((__u8 *)all->lanes)[lane] != (count != 0))
		((__u8 *)all->lanes)[lane] = count != 0;
}

#define NO_CAP HOMA_PRIORITIES

/*
 * Priority of an active one: the fewer have less left, the higher; of few the lowest, so that one with less left finds a higher. Who
 * is granted to the end counts until all has come, and nobody with more left gets a higher one than the bytes of who has less are
 * on their way with: they would pass these in the switches.
 * A packet more or less makes no difference: what is granted to a message that is behind by its last packet only would wait at the
 * switch for all of the others.
 */
noinline __u32 sched_priority(__u32 left)
{
	struct homa_receiver *v = receiver_here();
	__u32 rank = 0, n = 0, cap = NO_CAP, top = max_sched(), i;

	if (!v)
		return 0;
	for (i = 0; i < 2 * OVERCOMMIT; i++) {
		const struct homa_active *a = i < OVERCOMMIT ? &v->active[i] : &v->done[i - OVERCOMMIT];

		if (!a->peer)
			continue;
		n++;
		if (a->left + ONE_PACKET < left) {
			rank++;
			if (a->priority < cap)
				cap = a->priority;
		}
	}
	if (n <= top)
		top = n ? n - 1 : 0;
	top = rank >= top ? 0 : top - rank;
	return top < cap ? top : cap;
}

/* All of an active one is granted: somebody else's place, but its rank. Of more than there is room for, those with the most left go. */
noinline int keep_rank(__u32 id, __u32 priority)
{
	struct homa_receiver *v = receiver_here();
	struct homa_rpc *r = rpc_of(id);
	__u32 left, most, at = 0, i;

	if (!v || !r)
		return 0;
	left = r->in_len - in_received(r);
	most = 0;
	for (i = 0; i < OVERCOMMIT; i++) {
		if (!v->done[i].peer || v->done[i].id == id) {
			at = i;
			most = ~0U;
			break;
		}
		if (v->done[i].left > most) {
			most = v->done[i].left;
			at = i;
		}
	}
	if (most < left)
		return 0;
	v->done[at].id = id;
	v->done[at].left = left;
	v->done[at].priority = priority;
	v->done[at].peer = peer_number(r->remote);
	return 0;
}

/* So few bytes are left of one that is granted to its end; 0: its rank is free. */
noinline int rank_left(__u32 id, __u32 left)
{
	struct homa_receiver *v = receiver_here();
	__u32 i;

	if (!v)
		return 0;
	for (i = 0; i < OVERCOMMIT; i++) {
		if (v->done[i].id == id) {
			v->done[i].left = left;
			if (!left)
				v->done[i].peer = 0;
		}
	}
	return 0;
}

/* Gives back the place of one that needs no more, or is no more. */
noinline int leave_active(__u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 n = 0, i;

	if (!v)
		return 0;
	/* Counted, not counted down: lanes die in between. */
	for (i = 0; i < OVERCOMMIT; i++) {
		if (v->active[i].id == id) {
			v->active[i].peer = 0;
			v->needy &= ~(1U << i);
		}
		n += v->active[i].peer != 0;
	}
	set_count(v, n);
	return 0;
}

static inline void enter_active(struct homa_receiver *v, struct homa_rpc *r, __u32 id, __u32 at)
{
	/* The compiler would know that it is less, and the verifier not. */
	asm volatile("" : "+r"(at));
	at &= OVERCOMMIT - 1;
	v->active[at].id = id;
	v->active[at].peer = peer_number(r->remote);
	v->active[at].left = r->in_len - in_received(r);
	v->active[at].priority = NO_CAP;
	v->needy &= ~(1U << at);
	set_count(v, v->count + 1);
	r->granting = GRANTING_ACTIVE;
}

/* A free place; OVERCOMMIT: there is none. Places of slots that died with their lane are free. */
noinline __u32 free_place(void)
{
	struct homa_receiver *v = receiver_here();
	__u32 free = OVERCOMMIT, n = 0, i;

	if (!v)
		return free;
	for (i = 0; i < OVERCOMMIT; i++) {
		if (v->active[i].peer) {
			struct homa_rpc *r = rpc_of(v->active[i].id);

			if (r && r->granting == GRANTING_ACTIVE && r->phase == PHASE_IN) {
				n++;
				continue;
			}
			v->active[i].peer = 0;
			v->needy &= ~(1U << i);
		}
		if (i < homa_overcommit)
			free = i;
	}
	for (i = 0; i < OVERCOMMIT; i++) {
		if (v->done[i].peer) {
			struct homa_rpc *r = rpc_of(v->done[i].id);

			if (!r || r->granting != GRANTING_DONE || r->phase != PHASE_IN)
				v->done[i].peer = 0;
		}
	}
	set_count(v, n);
	return free;
}

/* Of those active who must go for this one: the one of the same peer, or who has most left, if that is more; OVERCOMMIT: nobody. */
noinline __u32 whom_to_displace(__u32 peer, __u32 left)
{
	struct homa_receiver *v = receiver_here();
	__u32 worst = OVERCOMMIT, most = left, i;

	if (!v)
		return worst;
	for (i = 0; i < OVERCOMMIT; i++) {
		if (v->active[i].peer == peer)
			return v->active[i].left > left ? i : OVERCOMMIT;
		if (v->active[i].peer && v->active[i].left > most) {
			most = v->active[i].left;
			worst = i;
		}
	}
	return worst;
}
