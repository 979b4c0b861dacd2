/*
 * Slots that wait in a tree, by bytes left, for a grant here and for the NIC in pace.h: one object a slot and tree, and where it
 * is. Among those that wait for grants the best is looked for whose peer is not active, and the oldest.
 */
#pragma once
#include "../tcp/loop.h"
#include "objects.h"
#include "active.h"

/* How many of the tree are looked at for one whose peer is not active yet. */
#define LOOK_AT 64

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
