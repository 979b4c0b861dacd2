/* Objects, lists and red-black trees: who owns what, under which lock; with and without the mistake. */
#include "../../../../bpf-progs/include/objects.h"

license("GPL");

struct flow {
	__u64 key;
	__u32 seen;
	struct bpf_rb_node node;
};
struct job {
	__u32 id;
	struct bpf_list_node link;
	struct bpf_refcount refs;
	struct bpf_rb_node node;
	__u8 note[3];
};
struct plain {
	__u64 a;
	__u32 b;
	__u32 bits : 3;
};
struct leaf {
	struct bpf_list_node link;
	__u64 n;
};
struct branch {
	struct bpf_spin_lock lock;
	struct bpf_list_head leaves __contains(leaf, link);
	struct bpf_rb_node node;
};
struct slot {
	struct plain __kptr *plain;
	struct job __kptr *job;
	__u32 uses;
};
struct shelf {
	struct bpf_spin_lock lock;
	struct bpf_list_head jobs __contains(job, link);
	struct bpf_rb_root order __contains(job, node);
	__u64 count;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root flows __contains(flow, node);
private(B) struct bpf_spin_lock other_lock;
private(B) struct bpf_rb_root others __contains(flow, node);
private(C) struct bpf_spin_lock job_lock;
private(C) struct bpf_list_head jobs __contains(job, link);
private(C) struct bpf_rb_root job_tree __contains(job, node);
private(D) struct bpf_spin_lock branch_lock;
private(D) struct bpf_rb_root branches __contains(branch, node);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct slot);
	__uint(max_entries, 4);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct shelf);
	__uint(max_entries, 4);
} shelves SEC(".maps");

static bool by_key(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct flow, node)->key < container_of(b, struct flow, node)->key;
}

static bool by_id(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct job, node)->id < container_of(b, struct job, node)->id;
}

static bool by_lock(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&lock);
	return 0;
}

static bool by_two(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return 2;
}

static bool by_removing(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_rbtree_remove(&flows, a);
	return 0;
}

static bool by_count(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	container_of(a, struct flow, node)->seen++;
	return container_of(a, struct flow, node)->seen & 1;
}

SEC("xdp") int makes_and_drops(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	if (!p)
		return 1;
	p->a = 5;
	p->b = ctx->rx_queue_index;
	bpf_obj_drop(p);
	return 0;
}

SEC("tc") int makes_and_drops_in_tc(struct __sk_buff *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	f->key = ctx->len;
	bpf_obj_drop(f);
	return 0;
}

SEC("xdp") int never_drops(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	if (!p)
		return 1;
	p->a = 1;
	return 0;
}

SEC("xdp") int drops_what_may_be_null(struct xdp_md *ctx)
{
	bpf_obj_drop(bpf_obj_new(struct plain));
	return 0;
}

SEC("xdp") int writes_what_may_be_null(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	p->a = 1;
	if (p)
		bpf_obj_drop(p);
	return 0;
}

SEC("xdp") int drops_twice(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	if (!p)
		return 1;
	bpf_obj_drop(p);
	bpf_obj_drop(p);
	return 0;
}

SEC("xdp") int uses_after_drop(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	if (!p)
		return 1;
	bpf_obj_drop(p);
	return p->a;
}

SEC("xdp") int drops_the_middle(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);

	if (!p)
		return 1;
	bpf_obj_drop((void *)p + 8);
	return 0;
}

SEC("xdp") int reads_past_the_object(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);
	int n;

	if (!p)
		return 1;
	n = *(volatile __u64 *)((void *)p + 16);
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int reads_across_members(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);
	int n;

	if (!p)
		return 1;
	n = *(volatile __u64 *)((void *)p + 4);
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int reads_a_hole(struct xdp_md *ctx)
{
	struct job *p = bpf_obj_new(struct job);
	int n;

	if (!p)
		return 1;
	n = *(volatile __u32 *)((void *)p + 4);
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int reads_bits(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);
	int n;

	if (!p)
		return 1;
	p->bits = 5;
	n = p->bits;
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int reads_at_a_variable_place(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);
	__u32 i = ctx->rx_queue_index & 3;
	int n;

	if (!p)
		return 1;
	barrier_var(i);
	n = *(volatile __u8 *)((void *)p + i);
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int writes_a_node(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	*(volatile __u64 *)&f->node = 1;
	bpf_obj_drop(f);
	return 0;
}

SEC("xdp") int reads_a_refcount(struct xdp_md *ctx)
{
	struct job *f = bpf_obj_new(struct job);
	int n;

	if (!f)
		return 1;
	n = *(volatile __u32 *)&f->refs;
	bpf_obj_drop(f);
	return n;
}

SEC("xdp") int counts_in_an_object(struct xdp_md *ctx)
{
	struct plain *p = bpf_obj_new(struct plain);
	int n;

	if (!p)
		return 1;
	__sync_fetch_and_add(&p->a, 3);
	n = p->a;
	bpf_obj_drop(p);
	return n;
}

SEC("xdp") int makes_an_int(struct xdp_md *ctx)
{
	void *p = bpf_obj_new_impl(__builtin_btf_type_id(*(int *)0, 0), 0);

	if (!p)
		return 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("xdp") int makes_what_it_was_told(struct xdp_md *ctx)
{
	void *p = bpf_obj_new_impl(ctx->rx_queue_index, 0);

	if (!p)
		return 1;
	bpf_obj_drop(p);
	return 0;
}

SEC("xdp") int adds_a_flow(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	f->key = 7;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	f->seen = 1;
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int adds_without_the_lock(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_rbtree_add(&flows, &f->node, by_key);
	return 0;
}

SEC("xdp") int adds_under_another_lock(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&other_lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&other_lock);
	return 0;
}

SEC("xdp") int adds_an_object_of_another_type(struct xdp_md *ctx)
{
	struct job *f = bpf_obj_new(struct job);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int adds_by_another_member(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, (void *)f, by_key);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int adds_twice(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int drops_what_it_added(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&lock);
	bpf_obj_drop(f);
	return 0;
}

SEC("xdp") int writes_after_unlock(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&lock);
	f->seen = 1;
	return 0;
}

SEC("xdp") int orders_and_unlocks(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_lock);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int orders_and_removes(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_removing);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int orders_and_writes(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_count);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int orders_by_a_constant(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, by_two);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int orders_by_nothing(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&flows, &f->node, (void *)0);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int makes_under_the_lock(struct xdp_md *ctx)
{
	struct flow *f;

	bpf_spin_lock(&lock);
	f = bpf_obj_new(struct flow);
	if (f)
		bpf_rbtree_add(&flows, &f->node, by_key);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int drops_under_the_lock(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	bpf_spin_lock(&lock);
	bpf_obj_drop(f);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int takes_the_first(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;
	struct flow *f;
	int key;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	if (!n) {
		bpf_spin_unlock(&lock);
		return 1;
	}
	n = bpf_rbtree_remove(&flows, n);
	bpf_spin_unlock(&lock);
	if (!n)
		return 2;
	f = container_of(n, struct flow, node);
	key = f->key;
	bpf_obj_drop(f);
	return key;
}

SEC("xdp") int removes_without_a_check(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	n = bpf_rbtree_remove(&flows, n);
	bpf_spin_unlock(&lock);
	if (n)
		bpf_obj_drop(container_of(n, struct flow, node));
	return 0;
}

SEC("xdp") int removes_and_forgets(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	if (n)
		bpf_rbtree_remove(&flows, n);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("xdp") int removes_after_unlock(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	bpf_spin_unlock(&lock);
	if (!n)
		return 1;
	bpf_spin_lock(&lock);
	n = bpf_rbtree_remove(&flows, n);
	bpf_spin_unlock(&lock);
	if (n)
		bpf_obj_drop(container_of(n, struct flow, node));
	return 0;
}

SEC("xdp") int moves_to_another_tree(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;
	struct flow *f;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	if (!n) {
		bpf_spin_unlock(&lock);
		return 1;
	}
	n = bpf_rbtree_remove(&flows, n);
	bpf_spin_unlock(&lock);
	if (!n)
		return 2;
	f = container_of(n, struct flow, node);
	bpf_spin_lock(&other_lock);
	bpf_rbtree_add(&others, &f->node, by_key);
	bpf_spin_unlock(&other_lock);
	return 0;
}

SEC("xdp") int removes_from_the_wrong_tree(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_first(&flows);
	if (n)
		n = bpf_rbtree_remove(&others, n);
	bpf_spin_unlock(&lock);
	if (n)
		bpf_obj_drop(container_of(n, struct flow, node));
	return 0;
}

SEC("xdp") int walks_the_tree(struct xdp_md *ctx)
{
	struct bpf_rb_node *n, *next;
	int sum = 0;

	bpf_spin_lock(&lock);
	n = bpf_rbtree_root(&flows);
	if (n) {
		sum = container_of(n, struct flow, node)->seen;
		next = bpf_rbtree_left(&flows, n);
		if (next)
			sum += container_of(next, struct flow, node)->seen;
		next = bpf_rbtree_right(&flows, n);
		if (next)
			sum += container_of(next, struct flow, node)->seen;
	}
	bpf_spin_unlock(&lock);
	return sum;
}

SEC("xdp") int reads_the_first_without_a_check(struct xdp_md *ctx)
{
	int n;

	bpf_spin_lock(&lock);
	n = container_of(bpf_rbtree_first(&flows), struct flow, node)->seen;
	bpf_spin_unlock(&lock);
	return n;
}

SEC("xdp") int takes_the_root_of_a_list(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&job_lock);
	n = bpf_rbtree_first((void *)&jobs);
	bpf_spin_unlock(&job_lock);
	return n != 0;
}

SEC("xdp") int pushes_and_pops(struct xdp_md *ctx)
{
	struct job *j = bpf_obj_new(struct job);
	struct bpf_list_node *n;
	int id;

	if (!j)
		return 1;
	j->id = 9;
	bpf_spin_lock(&job_lock);
	bpf_list_push_front(&jobs, &j->link);
	n = bpf_list_pop_back(&jobs);
	bpf_spin_unlock(&job_lock);
	if (!n)
		return 2;
	j = container_of(n, struct job, link);
	id = j->id;
	bpf_obj_drop(j);
	return id;
}

SEC("xdp") int pops_without_the_lock(struct xdp_md *ctx)
{
	struct bpf_list_node *n = bpf_list_pop_front(&jobs);

	if (n)
		bpf_obj_drop(container_of(n, struct job, link));
	return 0;
}

SEC("xdp") int pops_and_forgets(struct xdp_md *ctx)
{
	bpf_spin_lock(&job_lock);
	bpf_list_pop_front(&jobs);
	bpf_spin_unlock(&job_lock);
	return 0;
}

SEC("xdp") int looks_at_both_ends(struct xdp_md *ctx)
{
	struct bpf_list_node *n;
	int sum = 0;

	bpf_spin_lock(&job_lock);
	n = bpf_list_front(&jobs);
	if (n)
		sum = container_of(n, struct job, link)->id;
	n = bpf_list_back(&jobs);
	if (n)
		sum += container_of(n, struct job, link)->id;
	bpf_spin_unlock(&job_lock);
	return sum;
}

SEC("xdp") int drops_the_front(struct xdp_md *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&job_lock);
	n = bpf_list_front(&jobs);
	bpf_spin_unlock(&job_lock);
	if (n)
		bpf_obj_drop(container_of(n, struct job, link));
	return 0;
}

SEC("xdp") int is_in_a_list_and_a_tree(struct xdp_md *ctx)
{
	struct job *a = bpf_obj_new(struct job), *b;

	if (!a)
		return 1;
	b = bpf_refcount_acquire(a);
	bpf_spin_lock(&job_lock);
	bpf_list_push_back(&jobs, &a->link);
	bpf_rbtree_add(&job_tree, &b->node, by_id);
	bpf_spin_unlock(&job_lock);
	return 0;
}

SEC("xdp") int acquires_and_forgets(struct xdp_md *ctx)
{
	struct job *a = bpf_obj_new(struct job), *b;

	if (!a)
		return 1;
	b = bpf_refcount_acquire(a);
	bpf_obj_drop(a);
	return b->id;
}

SEC("xdp") int acquires_what_is_not_counted(struct xdp_md *ctx)
{
	struct flow *a = bpf_obj_new(struct flow), *b;

	if (!a)
		return 1;
	b = bpf_refcount_acquire(a);
	bpf_obj_drop(a);
	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("xdp") int acquires_what_it_borrowed(struct xdp_md *ctx)
{
	struct bpf_list_node *n;
	struct job *j = 0;
	int id;

	bpf_spin_lock(&job_lock);
	n = bpf_list_front(&jobs);
	if (n)
		j = bpf_refcount_acquire(container_of(n, struct job, link));
	bpf_spin_unlock(&job_lock);
	if (!j)
		return 1;
	id = j->id;
	bpf_obj_drop(j);
	return id;
}

SEC("xdp") int acquires_by_a_member(struct xdp_md *ctx)
{
	struct bpf_list_node *n;
	void *j = 0;

	bpf_spin_lock(&job_lock);
	n = bpf_list_front(&jobs);
	if (n)
		j = bpf_refcount_acquire((void *)n);
	bpf_spin_unlock(&job_lock);
	if (j)
		bpf_obj_drop(j);
	return 0;
}

SEC("xdp") int pushes_what_may_be_in_it(struct xdp_md *ctx)
{
	struct job *a = bpf_obj_new(struct job), *b;
	int first, second;

	if (!a)
		return 1;
	b = bpf_refcount_acquire(a);
	bpf_spin_lock(&job_lock);
	first = bpf_list_push_back(&jobs, &a->link);
	second = bpf_list_push_back(&jobs, &b->link);
	bpf_spin_unlock(&job_lock);
	return first * 10 + (second != 0);
}

SEC("xdp") int removes_what_it_owns(struct xdp_md *ctx)
{
	struct job *a = bpf_obj_new(struct job), *b;
	struct bpf_rb_node *n;

	if (!a)
		return 1;
	b = bpf_refcount_acquire(a);
	bpf_spin_lock(&job_lock);
	bpf_rbtree_add(&job_tree, &a->node, by_id);
	n = bpf_rbtree_remove(&job_tree, &b->node);
	bpf_spin_unlock(&job_lock);
	bpf_obj_drop(b);
	if (!n)
		return 2;
	bpf_obj_drop(container_of(n, struct job, node));
	return 0;
}

SEC("xdp") int a_shelf_under_its_own_lock(struct xdp_md *ctx)
{
	struct job *j = bpf_obj_new(struct job);
	struct shelf *s;
	__u32 key = 1;

	if (!j)
		return 1;
	s = bpf_map_lookup_elem(&shelves, &key);
	if (!s) {
		bpf_obj_drop(j);
		return 2;
	}
	bpf_spin_lock(&s->lock);
	bpf_list_push_back(&s->jobs, &j->link);
	s->count++;
	bpf_spin_unlock(&s->lock);
	return 0;
}

SEC("xdp") int a_shelf_under_another_lock(struct xdp_md *ctx)
{
	struct job *j = bpf_obj_new(struct job);
	struct shelf *s, *t;
	__u32 key = 1;

	if (!j)
		return 1;
	s = bpf_map_lookup_elem(&shelves, &key);
	t = bpf_map_lookup_elem(&shelves, &key);
	if (!s || !t) {
		bpf_obj_drop(j);
		return 2;
	}
	bpf_spin_lock(&s->lock);
	bpf_list_push_back(&t->jobs, &j->link);
	bpf_spin_unlock(&s->lock);
	return 0;
}

SEC("xdp") int a_shelf_found_twice(struct xdp_md *ctx)
{
	struct bpf_rb_node *n;
	struct shelf *s;
	__u32 key = 1;
	int id = 0;

	s = bpf_map_lookup_elem(&shelves, &key);
	if (!s)
		return 2;
	bpf_spin_lock(&s->lock);
	n = bpf_rbtree_first(&s->order);
	if (n)
		id = container_of(n, struct job, node)->id;
	bpf_spin_unlock(&s->lock);
	return id;
}

SEC("xdp") int a_list_in_an_object(struct xdp_md *ctx)
{
	struct branch *b = bpf_obj_new(struct branch);
	struct leaf *l;

	if (!b)
		return 1;
	l = bpf_obj_new(struct leaf);
	if (!l) {
		bpf_obj_drop(b);
		return 2;
	}
	l->n = 4;
	bpf_spin_lock(&b->lock);
	bpf_list_push_back(&b->leaves, &l->link);
	bpf_spin_unlock(&b->lock);
	bpf_obj_drop(b);
	return 0;
}

SEC("xdp") int a_list_in_an_object_without_its_lock(struct xdp_md *ctx)
{
	struct branch *b = bpf_obj_new(struct branch);
	struct leaf *l;

	if (!b)
		return 1;
	l = bpf_obj_new(struct leaf);
	if (!l) {
		bpf_obj_drop(b);
		return 2;
	}
	bpf_list_push_back(&b->leaves, &l->link);
	bpf_obj_drop(b);
	return 0;
}

SEC("xdp") int exchanges_a_kptr(struct xdp_md *ctx)
{
	struct plain *p, *old;
	struct slot *s;
	__u32 key = 0;
	int a = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	p = bpf_obj_new(struct plain);
	if (!p)
		return 2;
	p->a = 11;
	old = bpf_kptr_xchg(&s->plain, p);
	if (old) {
		a = old->a;
		bpf_obj_drop(old);
	}
	return a;
}

SEC("xdp") int empties_a_kptr(struct xdp_md *ctx)
{
	struct plain *old;
	struct slot *s;
	__u32 key = 0;
	int a;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	old = bpf_kptr_xchg(&s->plain, (void *)0);
	if (!old)
		return 2;
	a = old->a;
	bpf_obj_drop(old);
	return a;
}

SEC("xdp") int forgets_what_a_kptr_held(struct xdp_md *ctx)
{
	struct slot *s;
	__u32 key = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	bpf_kptr_xchg(&s->plain, (void *)0);
	return 0;
}

SEC("xdp") int puts_another_type_into_a_kptr(struct xdp_md *ctx)
{
	struct job *p, *old;
	struct slot *s;
	__u32 key = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	p = bpf_obj_new(struct job);
	if (!p)
		return 2;
	old = bpf_kptr_xchg(&s->plain, (void *)p);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

SEC("xdp") int writes_a_kptr(struct xdp_md *ctx)
{
	struct slot *s;
	__u32 key = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	*(volatile __u64 *)&s->job = 5;
	return 0;
}

SEC("xdp") int writes_beside_a_kptr(struct xdp_md *ctx)
{
	struct slot *s;
	__u32 key = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	s->uses++;
	return s->uses;
}

SEC("xdp") int exchanges_under_a_lock(struct xdp_md *ctx)
{
	struct plain *old;
	struct slot *s;
	__u32 key = 0;

	s = bpf_map_lookup_elem(&slots, &key);
	if (!s)
		return 1;
	bpf_spin_lock(&lock);
	old = bpf_kptr_xchg(&s->plain, (void *)0);
	bpf_spin_unlock(&lock);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

SEC("xdp") int writes_a_root(struct xdp_md *ctx)
{
	*(volatile __u64 *)&flows = 0;
	return 0;
}

static noinline int put_away(struct flow *f)
{
	bpf_obj_drop(f);
	return 0;
}

SEC("xdp") int drops_in_a_function(struct xdp_md *ctx)
{
	struct flow *f = bpf_obj_new(struct flow);

	if (!f)
		return 1;
	return put_away(f);
}

SEC("xdp") int holds_it_through_a_loop(struct xdp_md *ctx)
{
	struct flow *f = 0;

	for (int i = 0; i < 4; i++) {
		f = bpf_obj_new(struct flow);
		if (!f)
			return 1;
		f->key = i;
		bpf_spin_lock(&lock);
		bpf_rbtree_add(&flows, &f->node, by_key);
		bpf_spin_unlock(&lock);
	}
	return 0;
}
