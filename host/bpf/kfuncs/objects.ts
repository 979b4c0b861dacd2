/**
 * Kfuncs on objects that programs make, on lists and on red-black trees: Linux 6.18's (kernel/bpf/helpers.c), and eTran's
 * searches. All on lists and trees are called with the bpf_spin_lock beside the head held.
 */
import { LOCKS } from '../helpers/helper.js';
import { defineKfuncs, type KfuncRow } from './kfunc.js';

const COMMON = { types: LOCKS, gpl: true } as const;
const LOCKED = { ...COMMON, locked: true } as const;
const LESS = 'bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)';

const push = (where: string, doc: string): KfuncRow => ({
  ...LOCKED,
  prototype: `int bpf_list_push_${where}_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)`,
  node: 'given',
  doc,
});

const take = (name: string, doc: string): KfuncRow => ({
  ...LOCKED,
  prototype: `struct bpf_list_node *${name}(struct bpf_list_head *head)`,
  flags: ['acquire', 'ret_null'],
  doc,
});

const tree = (name: string, args: string, doc: string, more: Partial<KfuncRow> = {}): KfuncRow => ({
  ...LOCKED,
  prototype: `struct bpf_rb_node *${name}(struct bpf_rb_root *root${args})`,
  flags: ['ret_null'],
  doc,
  ...more,
});

const search = (name: string, doc: string): KfuncRow =>
  tree(name, `, struct bpf_rb_node *key, ${LESS}`, doc, { node: 'key', runsPrograms: true });

export const objectKfuncs = defineKfuncs({}, [
  {
    ...COMMON,
    prototype: 'void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign)',
    flags: ['acquire', 'ret_null'],
    makes: true,
    doc: 'A new object of a structure of the program, of zeroes. NULL: the memory for objects is used up.',
  },
  {
    ...COMMON,
    prototype: 'void bpf_obj_drop_impl(void *p__alloc, void *meta__ign)',
    flags: ['release'],
    doc: 'Gives an object up, and with its last reference all that it holds.',
  },
  {
    ...LOCKED,
    prototype: 'void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign)',
    flags: ['acquire', 'ret_null'],
    doc: 'One more reference to an object with a bpf_refcount; of an owned one never NULL.',
  },
  push(
    'front',
    'Puts an object before all others. -EINVAL: it is in a list or tree; the reference is given up.',
  ),
  push(
    'back',
    'Puts an object behind all others. -EINVAL: it is in a list or tree; the reference is given up.',
  ),
  take('bpf_list_pop_front', 'Takes the first object out of a list.'),
  take('bpf_list_pop_back', 'Takes the last object out of a list.'),
  { ...take('bpf_list_front', 'The first object of a list, which keeps it.'), flags: ['ret_null'] },
  { ...take('bpf_list_back', 'The last object of a list, which keeps it.'), flags: ['ret_null'] },
  {
    ...LOCKED,
    prototype: `int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, ${LESS}, void *meta__ign, u64 off)`,
    node: 'given',
    runsPrograms: true,
    doc: 'Puts an object into a tree, behind its equals. -EINVAL: it is in a list or tree; the reference is given up.',
  },
  tree(
    'bpf_rbtree_remove',
    ', struct bpf_rb_node *node',
    'Takes an object out of a tree. NULL: it is not in it.',
    {
      flags: ['acquire', 'ret_null'],
    },
  ),
  tree('bpf_rbtree_first', '', 'The first object of a tree, which keeps it.'),
  tree('bpf_rbtree_root', '', 'The object at the root.'),
  tree('bpf_rbtree_left', ', struct bpf_rb_node *node', 'Its left child.'),
  tree('bpf_rbtree_right', ', struct bpf_rb_node *node', 'Its right child.'),
  tree('bpf_rbtree_next', ', struct bpf_rb_node *node', 'The object after it in order. Not in Linux.'),
  search(
    'bpf_rbtree_search',
    'The first object that is equal to the key, which stays the caller’s. Not in Linux.',
  ),
  search('bpf_rbtree_lower_bound', 'The first object that does not come before the key. Not in Linux.'),
  search(
    'bpf_rbtree_search_less',
    'Of all objects that come before the key the least, by an order that need not be the tree’s: looks at every one. Not in Linux.',
  ),
]);
