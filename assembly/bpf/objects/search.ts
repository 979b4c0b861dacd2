// What programs do with trees: kernel/bpf/helpers.c, and eTran's searches. The caller holds the lock; `less` is a table
// slot of a function (a, b) → 1 when a comes before b.
import { begin, claim, end, graph, linkBetween, look, ownerOf, setOwner, unlink } from "./chain";
import { clearOwner, dropObject } from "./drop";
import { cut, hang } from "./rbtree";
import { node } from "./record";

const EINVAL: i32 = 22;

// @ts-ignore: decorator
@inline function isLess(less: u32, a: usize, b: usize): bool {
  return call_indirect<u64>(less, <u64>a, <u64>b, <u64>0, <u64>0, <u64>0) != 0;
}

/** Puts the node's object in, behind its equals; one that is in some tree or list is dropped instead: -EINVAL. */
export function bpf_rbtree_add_impl(tree: usize, n: usize, less: u32, meta: usize, off: u64): i32 {
  look(tree, true);
  if (!claim(n)) {
    dropObject(node(n).object);
    return -EINVAL;
  }
  let p: usize = 0;
  let left = false;
  for (let at: usize = graph(tree).root; at; at = left ? node(at).left : node(at).right) {
    p = at;
    left = isLess(less, n, at);
  }
  begin(tree);
  if (!p) linkBetween(tree, n, 0, 0);
  else if (left) linkBetween(tree, n, node(p).prev, p);
  else linkBetween(tree, n, p, node(p).next);
  hang(tree, n, p, left);
  setOwner(n, tree);
  end(tree);
  return 0;
}

/** The node, which is the caller's again; NULL when it is not in this tree. */
export function bpf_rbtree_remove(tree: usize, n: usize): usize {
  look(tree, true);
  if (ownerOf(n) != tree) return 0;
  begin(tree);
  cut(tree, n);
  unlink(tree, n);
  clearOwner(node(n));
  end(tree);
  return n;
}

export function bpf_rbtree_first(tree: usize): usize {
  look(tree, true);
  return graph(tree).first;
}

export function bpf_rbtree_root(tree: usize): usize {
  look(tree, true);
  return graph(tree).root;
}

export function bpf_rbtree_left(tree: usize, n: usize): usize {
  look(tree, true);
  return ownerOf(n) == tree ? <usize>node(n).left : 0;
}

export function bpf_rbtree_right(tree: usize, n: usize): usize {
  look(tree, true);
  return ownerOf(n) == tree ? <usize>node(n).right : 0;
}

export function bpf_rbtree_next(tree: usize, n: usize): usize {
  look(tree, true);
  return ownerOf(n) == tree ? <usize>node(n).next : 0;
}

/** The first node that does not come before `key`. */
export function bpf_rbtree_lower_bound(tree: usize, key: usize, less: u32): usize {
  look(tree, true);
  let found: usize = 0;
  for (let at: usize = graph(tree).root; at; ) {
    if (isLess(less, at, key)) at = node(at).right;
    else {
      found = at;
      at = node(at).left;
    }
  }
  return found;
}

/** The first node that is equal to `key`: neither comes before the other. */
export function bpf_rbtree_search(tree: usize, key: usize, less: u32): usize {
  const found = bpf_rbtree_lower_bound(tree, key, less);
  return found && isLess(less, key, found) ? 0 : found;
}

/** Of the nodes that come before `key` the one that comes before all others, by an order that need not be the tree's. */
export function bpf_rbtree_search_less(tree: usize, key: usize, less: u32): usize {
  look(tree, true);
  let best: usize = 0;
  for (let n: usize = graph(tree).first; n; n = node(n).next) if (isLess(less, n, best ? best : key)) best = n;
  return best;
}
