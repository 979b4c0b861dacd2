/* A tree, a list and a kptr of objects, changed and searched as the packet says. See README.md. */
#include "objects.h"

license("GPL");

#define MAX_COMMANDS 32
#define MAX_LEVELS 40
#define NONE 0x10000
#define NO_MEMORY 0x20000

enum { ADD, TAKE_FIRST, FIRST, TAKE, PUSH_BACK, PUSH_FRONT, POP_FRONT, POP_BACK, STASH, UNSTASH, BOTH, FIND };
enum { SEARCH, LOWER_BOUND, NEXT, LEAST };

struct command {
	__u16 op;
	__u16 key;
	__u32 result;
};

struct item {
	__u32 key;
	__u32 born;
	struct bpf_rb_node node;
	struct bpf_list_node link;
	struct bpf_refcount refs;
};

struct place {
	struct item __kptr *item;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct place);
	__uint(max_entries, 1);
} stash SEC(".maps");

private(items) struct bpf_spin_lock lock;
private(items) struct bpf_rb_root tree __contains(item, node);
private(items) struct bpf_list_head list __contains(item, link);

__u32 born;

#define item_of(n) container_of(n, struct item, node)
#define linked(n) container_of(n, struct item, link)

static bool by_key(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return item_of(a)->key < item_of(b)->key;
}

static bool by_age(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return item_of(a)->born < item_of(b)->born;
}

static noinline __u32 take_tree(struct bpf_rb_node *n)
{
	struct item *item;
	__u32 key;

	if (!n)
		return NONE;
	item = item_of(n);
	key = item->key;
	bpf_obj_drop(item);
	return key;
}

static noinline __u32 take_list(struct bpf_list_node *n)
{
	struct item *item;
	__u32 key;

	if (!n)
		return NONE;
	item = linked(n);
	key = item->key;
	bpf_obj_drop(item);
	return key;
}

static inline struct item *make(__u32 key)
{
	struct item *item = bpf_obj_new(struct item);

	if (item) {
		item->key = key;
		item->born = ++born;
	}
	return item;
}

static noinline __u32 put(__u32 op, __u32 key)
{
	struct item *item = make(key), *other;
	__u32 result;

	if (!item)
		return NO_MEMORY;
	if (op == BOTH) {
		other = bpf_refcount_acquire(item);
		bpf_spin_lock(&lock);
		result = bpf_rbtree_add(&tree, &item->node, by_key);
		result |= bpf_list_push_back(&list, &other->link);
		bpf_spin_unlock(&lock);
		return result;
	}
	bpf_spin_lock(&lock);
	if (op == ADD)
		result = bpf_rbtree_add(&tree, &item->node, by_key);
	else if (op == PUSH_BACK)
		result = bpf_list_push_back(&list, &item->link);
	else
		result = bpf_list_push_front(&list, &item->link);
	bpf_spin_unlock(&lock);
	return result;
}

static noinline __u32 first(__u32 op)
{
	struct bpf_rb_node *n;
	__u32 key = NONE;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&tree);
	if (n)
		key = item_of(n)->key;
	if (op == FIRST || !n) {
		bpf_spin_unlock(&lock);
		return key;
	}
	n = bpf_rbtree_remove(&tree, n);
	bpf_spin_unlock(&lock);
	return take_tree(n);
}

static noinline __u32 by(__u32 op, __u32 key)
{
	struct bpf_rb_node *n, *taken = 0;
	__u32 found = NONE;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_root(&tree);
	for (int i = 0; i < MAX_LEVELS && n; i++) {
		__u32 here = item_of(n)->key;

		if (here == key) {
			found = key;
			if (op == TAKE)
				taken = bpf_rbtree_remove(&tree, n);
			break;
		}
		n = key < here ? bpf_rbtree_left(&tree, n) : bpf_rbtree_right(&tree, n);
	}
	bpf_spin_unlock(&lock);
	if (taken)
		return take_tree(taken);
	return found;
}

static noinline __u32 pop(__u32 op)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock);
	if (op == POP_FRONT)
		n = bpf_list_pop_front(&list);
	else
		n = bpf_list_pop_back(&list);
	bpf_spin_unlock(&lock);
	return take_list(n);
}

static noinline __u32 exchange(__u32 op, __u32 key)
{
	struct item *item = 0;
	struct place *p;
	__u32 at = 0;

	p = bpf_map_lookup_elem(&stash, &at);
	if (!p)
		return NONE;
	if (op == STASH) {
		item = make(key);
		if (!item)
			return NO_MEMORY;
	}
	item = bpf_kptr_xchg(&p->item, item);
	if (!item)
		return NONE;
	key = item->key;
	bpf_obj_drop(item);
	return key;
}

SEC("xdp") int change(struct xdp_md *ctx)
{
	for (int i = 0; i < MAX_COMMANDS; i++) {
		struct command *c = data_of(ctx) + 14 + i * sizeof(struct command);

		if ((void *)(c + 1) > data_end_of(ctx))
			return i ? XDP_TX : XDP_DROP;
		switch (c->op) {
		case ADD:
		case PUSH_BACK:
		case PUSH_FRONT:
		case BOTH:
			c->result = put(c->op, c->key);
			break;
		case TAKE_FIRST:
		case FIRST:
			c->result = first(c->op);
			break;
		case TAKE:
		case FIND:
			c->result = by(c->op, c->key);
			break;
		case POP_FRONT:
		case POP_BACK:
			c->result = pop(c->op);
			break;
		case STASH:
		case UNSTASH:
			c->result = exchange(c->op, c->key);
			break;
		}
	}
	return XDP_TX;
}

static noinline __u32 look(__u32 op, __u32 key)
{
	struct item *wanted = make(key);
	struct bpf_rb_node *n;
	__u32 found = NONE;

	if (!wanted)
		return NO_MEMORY;
	bpf_spin_lock(&lock);
	if (op == SEARCH)
		n = bpf_rbtree_search(&tree, &wanted->node, by_key);
	else if (op == LEAST)
		n = bpf_rbtree_search_less(&tree, &wanted->node, by_age);
	else
		n = bpf_rbtree_lower_bound(&tree, &wanted->node, by_key);
	if (n && op == NEXT)
		n = bpf_rbtree_next(&tree, n);
	if (n)
		found = item_of(n)->key;
	bpf_spin_unlock(&lock);
	bpf_obj_drop(wanted);
	return found;
}

SEC("xdp") int search(struct xdp_md *ctx)
{
	for (int i = 0; i < MAX_COMMANDS; i++) {
		struct command *c = data_of(ctx) + 14 + i * sizeof(struct command);

		if ((void *)(c + 1) > data_end_of(ctx))
			return i ? XDP_TX : XDP_DROP;
		c->result = look(c->op, c->key);
	}
	return XDP_TX;
}
