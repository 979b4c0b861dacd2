/*
 * Slots that wait, for a grant (waiting.h) or for the NIC (pace.h): an object a slot, in two trees at once, by bytes left and by age;
 * those that wait for a grant are in one by peer, too.
 *
 *   homa_places[slot] ─▶ homa_want ─┬─ node ─ tree by bytes left: whose turn it is
 *                                   └─ aged ─ tree by age: the oldest, which has a share
 *
 * Each tree and the place hold a reference. A lane that dies may leave an object in a tree of which its slot knows nothing: who
 * takes one out of a tree asks the slot whether it waits.
 */
#pragma once
#include "objects.h"
#include "slot.h"

struct homa_want {
	__u32 left; /* bytes */
	__u32 id;
	__u32 peer;
	__u32 born; /* the lower came first */
	struct bpf_rb_node node;
	struct bpf_rb_node aged;
	struct bpf_rb_node mine; /* waiting.h: among its peer's */
	struct bpf_refcount refs;
};
#define want_of(n) container_of(n, struct homa_want, node)
#define aged_of(n) container_of(n, struct homa_want, aged)

static bool by_left(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return want_of(a)->left < want_of(b)->left;
}

static bool by_age(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return (__s32)(aged_of(a)->born - aged_of(b)->born) < 0;
}

/* Where slots are in trees, so that they can be taken out. */
struct homa_place {
	struct homa_want __kptr *grant;
	struct homa_want __kptr *pace;
};
HOMA_MAP(homa_places, ARRAY, 1024, __u32, struct homa_place);

/* Puts an object, of which the caller gives a reference, into both trees. */
static inline void line_up(struct bpf_spin_lock *lock, struct bpf_rb_root *least, struct bpf_rb_root *oldest, struct homa_want *w)
{
	struct homa_want *again = bpf_refcount_acquire(w);

	bpf_spin_lock(lock);
	bpf_rbtree_add(least, &w->node, by_left);
	bpf_rbtree_add(oldest, &again->aged, by_age);
	bpf_spin_unlock(lock);
}

/* Takes an object, of which the caller gives a reference, out of the trees in which it is. */
static inline void step_out(struct bpf_spin_lock *lock, struct bpf_rb_root *least, struct bpf_rb_root *oldest, struct homa_want *w)
{
	struct bpf_rb_node *n, *aged;

	bpf_spin_lock(lock);
	n = bpf_rbtree_remove(least, &w->node);
	aged = bpf_rbtree_remove(oldest, &w->aged);
	bpf_spin_unlock(lock);
	if (n)
		bpf_obj_drop(want_of(n));
	if (aged)
		bpf_obj_drop(aged_of(aged));
	bpf_obj_drop(w);
}
