/*
 * Messages that wait for grants (want.h). The best is looked for whose peer is not active, and the oldest. Where one is in the tree is
 * corrected when a quarter of what was left has come: DATA of one that waits changes nothing but numbers, mostly.
 */
#pragma once
#include "../tcp/loop.h"
#include "active.h"

/* How many of the tree are looked at for one whose peer is not active yet. */
#define LOOK_AT 64

/* Takes a slot out of the trees. */
noinline int unwant_grant(__u32 id)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct homa_want *w;

	if (!place || !v)
		return 0;
	w = bpf_kptr_xchg(&place->grant, 0);
	if (w)
		step_out(&v->lock, &v->waiting, &v->aged, w);
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
	if (kept)
		step_out(&v->lock, &v->waiting, &v->aged, kept);
	line_up(&v->lock, &v->waiting, &v->aged, w);
	return 0;
}

/* So few bytes are left by now of one that waits. */
noinline int still_wants(struct homa_rpc *r NONNULL, __u32 id, __u32 left)
{
	struct homa_receiver *v = receiver_here();
	struct homa_place *place = bpf_map_lookup_elem(&homa_places, &id);
	struct bpf_rb_node *n;
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
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_remove(&v->waiting, &w->node);
	if (n) {
		want_of(n)->left = left;
		bpf_rbtree_add(&v->waiting, n, by_left);
	}
	bpf_spin_unlock(&v->lock);
	w = bpf_kptr_xchg(&place->grant, w);
	if (w)
		bpf_obj_drop(w);
	return 0;
}

/* Takes the one with the fewest bytes left out of the trees whose peer is not active: its number; 0: there is none. */
noinline __u32 take_best(void)
{
	struct homa_receiver *v = receiver_here();
	struct bpf_rb_node *n, *taken = 0, *aged = 0;
	__u32 id, i;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->waiting);
	for (i = 0; i < LOOK_AT && n && can_loop; i++) {
		if (!is_active(v, want_of(n)->peer)) {
			taken = bpf_rbtree_remove(&v->waiting, n);
			if (taken)
				aged = bpf_rbtree_remove(&v->aged, &want_of(taken)->aged);
			break;
		}
		n = bpf_rbtree_next(&v->waiting, n);
	}
	bpf_spin_unlock(&v->lock);
	if (aged)
		bpf_obj_drop(aged_of(aged));
	if (!taken)
		return 0;
	id = want_of(taken)->id;
	bpf_obj_drop(want_of(taken));
	unwant_grant(id);
	return id;
}

/* Takes the oldest out of the trees. */
noinline int drop_oldest(void)
{
	struct homa_receiver *v = receiver_here();
	struct bpf_rb_node *n, *taken = 0, *aged = 0;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = bpf_rbtree_first(&v->aged);
	if (n)
		aged = bpf_rbtree_remove(&v->aged, n);
	if (aged)
		taken = bpf_rbtree_remove(&v->waiting, &aged_of(aged)->node);
	bpf_spin_unlock(&v->lock);
	if (taken)
		bpf_obj_drop(want_of(taken));
	if (aged)
		bpf_obj_drop(aged_of(aged));
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
