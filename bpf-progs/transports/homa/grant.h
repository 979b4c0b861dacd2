/*
 * Grants: the receiver says who may send. Of the messages that are longer than what comes unasked, the eight with the fewest
 * bytes left are active, one of a peer at most (overcommitment: one of them will not use its turn); the others wait in a
 * tree. An active one may always be sent so far beyond what has come of it as its part of the window is.
 *
 *   DATA ─▶ homa_consider ─┬─ active[8]: grant to received + window            all of it granted ─▶ the best of the tree
 *                          └─ tree, by bytes left  ◀─ who has more left than it ─┘       5 % of bytes: the oldest of the tree
 */
#pragma once
#include "../tcp/loop.h"
#include "objects.h"
#include "slot.h"

#define OVERCOMMIT 8
/* How many of the tree are looked at for one whose peer is not active yet. */
#define LOOK_AT 64

const volatile __u32 homa_max_incoming = 400000;
const volatile __u32 homa_window = 0; /* bytes; 0: max_incoming / (active + 1) */
const volatile __u32 homa_overcommit = OVERCOMMIT;
const volatile __u32 homa_max_sched = 3; /* highest priority of granted bytes */
const volatile __u32 homa_fifo_grant = 50; /* thousandths of granted bytes for the oldest, */
const volatile __u32 homa_fifo_step = 50000; /* so many at a time */

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

/* A slot that waits in a tree: for a grant, or for the NIC (pace.h). */
struct homa_want {
	__u32 left; /* bytes */
	__u32 id;
	__u32 peer;
	__u32 born; /* the lower came first */
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};
#define want_of(n) container_of(n, struct homa_want, node)

static bool by_left(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return want_of(a)->left < want_of(b)->left;
}

static bool by_age(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return (__s32)(want_of(a)->born - want_of(b)->born) < 0;
}

/* Where slots are in trees, so that they can be taken out. */
struct homa_place {
	struct homa_want __kptr *grant;
	struct homa_want __kptr *pace;
};
HOMA_MAP(homa_places, ARRAY, 1024, __u32, struct homa_place);

struct homa_active {
	__u32 id;
	__u32 peer; /* 0: nobody's place */
	__u32 left;
};

struct homa_receiver {
	struct bpf_spin_lock lock;
	__u32 count; /* of active */
	struct bpf_rb_root waiting __contains(homa_want, node);
	struct homa_active active[OVERCOMMIT];
	__s32 fewest; /* bytes to be granted to those with the fewest left, before the oldest has its turn */
	__u32 born;
};
HOMA_MAP(homa_receivers, ARRAY, ETHERLOOM_MAX_LANES, __u32, struct homa_receiver);

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

/* Puts a slot into the tree; without memory for it, it is considered again when more of it comes, or by its timer. */
noinline int want_grant(struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_want *w, *kept;

	r->granting = GRANTING_NOT;
	if (!place || !v)
		return 0;
	w = bpf_obj_new(struct homa_want);
	if (!w)
		return 0;
	w->left = r->in_len - in_received(r);
	w->id = id;
	w->peer = peer_number(r->remote);
	w->born = r->in_born;
	kept = bpf_kptr_xchg(&place->grant, bpf_refcount_acquire(w));
	if (kept)
		bpf_obj_drop(kept);
	bpf_spin_lock(&v->lock);
	bpf_rbtree_add(&v->waiting, &w->node, by_left);
	bpf_spin_unlock(&v->lock);
	r->granting = GRANTING_WAITS;
	return 0;
}

/* Takes a slot out of the tree. */
noinline int unwant_grant(__u32 id)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct bpf_rb_node *n;
	struct homa_want *w;

	if (!place || !v)
		return 0;
	w = bpf_kptr_xchg(&place->grant, 0);
	if (!w)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_remove(&v->waiting, &w->node);
	bpf_spin_unlock(&v->lock);
	if (n)
		bpf_obj_drop(want_of(n));
	bpf_obj_drop(w);
	return 0;
}

/* Takes the one with the fewest bytes left out of the tree whose peer is not active: its number; 0: there is none. */
noinline __u32 take_best(void)
{
	struct homa_receiver *v = receiver_here();
	struct bpf_rb_node *n, *taken = 0;
	__u32 id, i;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->waiting);
	for (i = 0; i < LOOK_AT && n && can_loop; i++) {
		if (!is_active(v, want_of(n)->peer)) {
			taken = bpf_rbtree_remove(&v->waiting, n);
			break;
		}
		n = bpf_rbtree_next(&v->waiting, n);
	}
	bpf_spin_unlock(&v->lock);
	if (!taken)
		return 0;
	id = want_of(taken)->id;
	bpf_obj_drop(want_of(taken));
	unwant_grant(id);
	return id;
}

/* The oldest of the tree, which keeps it; 0: it is empty. */
noinline __u32 oldest_waiting(void)
{
	struct homa_receiver *v = receiver_here();
	struct homa_want *youngest;
	struct bpf_rb_node *n;
	__u32 id = 0;

	if (!v)
		return 0;
	youngest = bpf_obj_new(struct homa_want);
	if (!youngest)
		return 0;
	youngest->born = v->born + 1;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_search_less(&v->waiting, &youngest->node, by_age);
	if (n)
		id = want_of(n)->id;
	bpf_spin_unlock(&v->lock);
	bpf_obj_drop(youngest);
	return id;
}

/* May be sent up to there, as far as there is room for it. Whether that is news. */
static inline int grant_to(struct homa_rpc *r, __u32 id, __u32 to, __u32 priority)
{
	__u32 room = el_stream_rcv_limit(id) - r->in_at, more;

	room = (__s32)room < HOMA_ALIGN ? 0 : room - HOMA_ALIGN;
	r->stalled = to > room && room < r->in_len;
	if (r->stalled)
		to = room;
	if (to > r->in_len)
		to = r->in_len;
	if (to <= r->in_granted)
		return 0;
	more = to - r->in_granted;
	r->in_granted = to;
	r->grant_priority = priority;
	r->due |= DUE_GRANT;
	el_ready(id);
	return more;
}

/* Priority of an active one: the fewer have less left, the higher; of few that are active the lowest, so that one with less left finds a higher. */
noinline __u32 sched_priority(__u32 left)
{
	struct homa_receiver *v = receiver_here();
	__u32 rank = 0, i, top = max_sched();

	if (!v)
		return 0;
	for (i = 0; i < OVERCOMMIT; i++)
		rank += v->active[i].peer && v->active[i].left < left;
	if (v->count <= top)
		top = v->count ? v->count - 1 : 0;
	return rank >= top ? 0 : top - rank;
}

static inline __u32 window_of(const struct homa_receiver *v)
{
	return homa_window ? homa_window : homa_max_incoming / (v->count + 1);
}

/* An active one has its part of the window; of what is granted the oldest that waits has a share. */
noinline int grant_active(struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 got = in_received(r), more, old;
	struct homa_rpc *o;

	if (!v)
		return 0;
	more = grant_to(r, id, got + window_of(v), sched_priority(r->in_len - got));
	if (!more || !homa_fifo_grant)
		return 0;
	v->fewest -= more;
	if (v->fewest >= 0)
		return 0;
	v->fewest += homa_fifo_step * (1000 / homa_fifo_grant - 1);
	old = oldest_waiting();
	o = old ? rpc_of(old) : 0;
	if (o && o->granting == GRANTING_WAITS && o->in_granted < in_received(o) + homa_fifo_step) {
		count(FifoGrants);
		grant_to(o, old, in_received(o) + homa_fifo_step, max_sched());
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
		if (v->active[i].id == id)
			v->active[i].peer = 0;
		n += v->active[i].peer != 0;
	}
	v->count = n;
	return 0;
}

static inline void enter_active(struct homa_receiver *v, struct homa_rpc *r, __u32 id, __u32 at)
{
	at &= OVERCOMMIT - 1;
	v->active[at].id = id;
	v->active[at].peer = peer_number(r->remote);
	v->active[at].left = r->in_len - in_received(r);
	v->count++;
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
		}
		if (i < homa_overcommit)
			free = i;
	}
	v->count = n;
	return free;
}

/* Whoever is best of those that wait takes the place that is free. */
noinline int promote(void)
{
	struct homa_receiver *v = receiver_here();
	__u32 at = free_place(), id, i;
	struct homa_rpc *r;

	if (!v)
		return 0;
	/* Until one keeps the place: of some all is granted by now, as the oldest, or at once. */
	for (i = 0; at < OVERCOMMIT && i < LOOK_AT && can_loop; i++) {
		id = take_best();
		r = id ? rpc_of(id) : 0;
		if (!r)
			return 0;
		r->granting = GRANTING_NOT;
		if (r->phase != PHASE_IN || r->in_granted >= r->in_len)
			continue;
		enter_active(v, r, id, at);
		grant_active(r, id);
		if (r->in_granted < r->in_len)
			return 0;
		r->granting = GRANTING_NOT;
		leave_active(id);
	}
	return 0;
}

/* The message needs no grants any more, or is no more. */
noinline int homa_ungrant(struct homa_rpc *r NONNULL, __u32 id)
{
	__u8 was = r->granting;

	r->granting = GRANTING_NOT;
	if (was == GRANTING_WAITS)
		unwant_grant(id);
	else if (was == GRANTING_ACTIVE) {
		leave_active(id);
		promote();
	}
	return 0;
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

/* More came of a message that wants grants, or it is looked at again. */
noinline int homa_consider(struct homa_rpc *r NONNULL, __u32 id)
{
	struct homa_receiver *v = receiver_here();
	__u32 left = r->in_len - in_received(r), peer = peer_number(r->remote), at = OVERCOMMIT, i;
	struct homa_rpc *d = 0;
	__u32 gone;

	if (!v)
		return 0;
	if (r->granting == GRANTING_WAITS)
		unwant_grant(id);
	if (r->granting != GRANTING_ACTIVE) {
		r->granting = GRANTING_NOT;
		if (!r->in_born)
			r->in_born = ++v->born ? v->born : ++v->born;
		/* First of all: a place that a lane left when it died may be this peer's. */
		at = free_place();
		if (is_active(v, peer))
			at = OVERCOMMIT;
		if (at >= OVERCOMMIT) {
			at = whom_to_displace(peer, left);
			if (at >= OVERCOMMIT) {
				want_grant(r, id);
				return 0;
			}
			gone = v->active[at & (OVERCOMMIT - 1)].id;
			d = rpc_of(gone);
			leave_active(gone);
			if (d)
				want_grant(d, gone);
		}
		enter_active(v, r, id, at);
	} else {
		for (i = 0; i < OVERCOMMIT; i++) {
			if (v->active[i].id == id)
				v->active[i].left = left;
		}
	}
	grant_active(r, id);
	if (r->in_granted >= r->in_len)
		homa_ungrant(r, id);
	return 0;
}
