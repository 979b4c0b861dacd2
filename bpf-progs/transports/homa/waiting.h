/*
 * Messages that wait for grants (want.h), in three trees. Of each peer the one with the fewest bytes left is in `best`: however many a
 * peer has, and it has none active or one, those of others are found behind no more than one of each active peer's.
 *
 *   homa_want ─┬─ mine ─ peers: by peer, then bytes left: all
 *              ├─ node ─ best: by bytes left: the first of each peer's
 *              └─ aged ─ aged: by age: all
 *
 * Where one is in the trees is corrected when a quarter of what was left has come: DATA of one that waits changes nothing but numbers,
 * mostly.
 */
#pragma once
#include "../tcp/loop.h"
#include "active.h"

/* Of `best`, behind those of active peers, and what a lane left there that died. */
#define LOOK_AT (2 * OVERCOMMIT)

#define mine_of(n) container_of(n, struct homa_want, mine)

static bool by_peer(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return mine_of(a)->peer == mine_of(b)->peer ? mine_of(a)->left < mine_of(b)->left : mine_of(a)->peer < mine_of(b)->peer;
}

/* The order of `peers`, as far as a search for a peer's first needs it. */
static bool before_peer(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return mine_of(a)->peer < mine_of(b)->peer;
}

/* Puts an object into the trees; the caller keeps its reference. */
static inline void queue_up(struct homa_receiver *v, struct homa_want *w)
{
	struct homa_want *node = bpf_refcount_acquire(w), *aged = bpf_refcount_acquire(w), *mine = bpf_refcount_acquire(w);
	struct bpf_rb_node *first, *behind = 0;

	bpf_spin_lock(&v->lock);
	first = bpf_rbtree_lower_bound(&v->peers, &w->mine, before_peer);
	bpf_rbtree_add(&v->aged, &aged->aged, by_age);
	if (first && mine_of(first)->peer == w->peer) {
		if (w->left < mine_of(first)->left) {
			behind = bpf_rbtree_remove(&v->best, &mine_of(first)->node);
			bpf_rbtree_add(&v->best, &node->node, by_left);
			node = 0;
		}
	} else {
		bpf_rbtree_add(&v->best, &node->node, by_left);
		node = 0;
	}
	bpf_rbtree_add(&v->peers, &mine->mine, by_peer);
	bpf_spin_unlock(&v->lock);
	if (node)
		bpf_obj_drop(node);
	if (behind)
		bpf_obj_drop(want_of(behind));
}

/* Takes an object out of the trees in which it is; the caller keeps its reference. The next of its peer's is the first. */
static inline void queue_out(struct homa_receiver *v, struct homa_want *w)
{
	struct bpf_rb_node *node, *aged, *mine, *first;
	struct homa_want *next;

	bpf_spin_lock(&v->lock);
	node = bpf_rbtree_remove(&v->best, &w->node);
	aged = bpf_rbtree_remove(&v->aged, &w->aged);
	mine = bpf_rbtree_remove(&v->peers, &w->mine);
	first = bpf_rbtree_lower_bound(&v->peers, &w->mine, before_peer);
	if (first && mine_of(first)->peer == w->peer) {
		next = bpf_refcount_acquire(mine_of(first));
		/* One that is there already stays where it is; a lane that died may have left it nowhere. */
		if (next)
			bpf_rbtree_add(&v->best, &next->node, by_left);
	}
	bpf_spin_unlock(&v->lock);
	if (node)
		bpf_obj_drop(want_of(node));
	if (aged)
		bpf_obj_drop(aged_of(aged));
	if (mine)
		bpf_obj_drop(mine_of(mine));
}

/* Takes a slot out of the trees. */
noinline int unwant_grant(__u32 id)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_want *w;

	if (!place || !v)
		return 0;
	w = bpf_kptr_xchg(&place->grant, 0);
	if (w) {
		queue_out(v, w);
		bpf_obj_drop(w);
	}
	return 0;
}

/* Puts a slot into the trees; without memory for it, it is considered again when more of it comes, or by its timer. */
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
	w->left = r->in_wanted = r->in_len - in_received(r);
	w->id = id;
	w->peer = peer_number(r->remote);
	w->born = r->in_born;
	/* Said first: a lane that dies before all is done is to look for it in the trees. */
	r->granting = GRANTING_WAITS;
	kept = bpf_kptr_xchg(&place->grant, bpf_refcount_acquire(w));
	if (kept) {
		queue_out(v, kept);
		bpf_obj_drop(kept);
	}
	queue_up(v, w);
	bpf_obj_drop(w);
	return 0;
}

/* So few bytes are left by now of one that waits. */
noinline int still_wants(struct homa_rpc *r NONNULL, __u32 id, __u32 left)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_want *w;

	if (!place || !v || left >= r->in_wanted - r->in_wanted / 4)
		return 0;
	w = bpf_kptr_xchg(&place->grant, 0);
	if (!w) {
		/* It is in no tree: considered again with its next packet, or by its timer. */
		r->granting = GRANTING_NOT;
		return 0;
	}
	r->in_wanted = left;
	queue_out(v, w);
	w->left = left;
	queue_up(v, w);
	w = bpf_kptr_xchg(&place->grant, w);
	if (w)
		bpf_obj_drop(w);
	return 0;
}

/* Takes the one with the fewest bytes left out of the trees whose peer is not active: its number; 0: there is none. The
 * slot's place has it still. */
noinline __u32 take_best(void)
{
	struct homa_receiver *v = receiver_here();
	struct homa_want *taken = 0;
	struct bpf_rb_node *n;
	__u32 id, i;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->best);
	for (i = 0; i < LOOK_AT && n && can_loop; i++) {
		if (!is_active(v, want_of(n)->peer)) {
			taken = bpf_refcount_acquire(want_of(n));
			break;
		}
		n = bpf_rbtree_next(&v->best, n);
	}
	bpf_spin_unlock(&v->lock);
	if (!taken)
		return 0;
	id = taken->id;
	queue_out(v, taken);
	bpf_obj_drop(taken);
	return id;
}

/* Takes the oldest out of the trees. */
noinline int drop_oldest(void)
{
	struct homa_receiver *v = receiver_here();
	struct homa_want *taken = 0;
	struct bpf_rb_node *n;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->aged);
	if (n)
		taken = bpf_refcount_acquire(aged_of(n));
	bpf_spin_unlock(&v->lock);
	if (taken) {
		queue_out(v, taken);
		bpf_obj_drop(taken);
	}
	return 0;
}

/* The oldest, which stays where it is; 0: nobody waits. */
noinline __u32 oldest_waiting(void)
{
	struct homa_receiver *v = receiver_here();
	struct bpf_rb_node *n;
	__u32 id = 0;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->aged);
	if (n)
		id = aged_of(n)->id;
	bpf_spin_unlock(&v->lock);
	return id;
}
