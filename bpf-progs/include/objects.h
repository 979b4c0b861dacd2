/*
 * Objects that programs make, lists and red-black trees of them, as Linux 6.18 and this engine have them. A head and the
 * bpf_spin_lock that guards it lie side by side, in a map value, an object or a section of variables:
 *
 *   struct flow { __u64 key; struct bpf_rb_node node; };
 *   private(A) struct bpf_spin_lock lock;
 *   private(A) struct bpf_rb_root flows __contains(flow, node);
 */
#pragma once
#include "bpf.h"
#include "kfuncs.gen.h"

#ifndef bool
#define bool _Bool
#endif

struct bpf_spin_lock {
	__u32 val;
};
struct bpf_list_head {
	__u64 __opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
	__u64 __opaque[3];
} __attribute__((aligned(8)));
struct bpf_rb_root {
	__u64 __opaque[2];
} __attribute__((aligned(8)));
struct bpf_rb_node {
	__u64 __opaque[4];
} __attribute__((aligned(8)));
struct bpf_refcount {
	__u32 __opaque[1];
} __attribute__((aligned(4)));

#define __tag(x) __attribute__((btf_decl_tag(x)))
#define __contains(type, field) __tag("contains:" #type ":" #field)
#define __kptr __attribute__((btf_type_tag("kptr")))
#define private(name) SEC(".data." #name) __attribute__((aligned(8)))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - offsetof(type, member)))

/* What the kernel fills in, the engine does, too: callers say nothing of it. */
#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), 0))
#define bpf_obj_drop(p) bpf_obj_drop_impl(p, 0)
#define bpf_refcount_acquire(p) ((typeof(p))bpf_refcount_acquire_impl(p, 0))
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, 0, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, 0, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, 0, 0)
