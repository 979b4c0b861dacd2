// Red-black trees: struct bpf_rb_root and bpf_rb_node. Links and colours of the tree lie beside its chain (chain.ts),
// which is the order of its nodes: neighbours cost a load, and after a crash the tree is made from it. Both ways of
// balancing are those of Cormen, Leiserson, Rivest and Stein, chapter 13, with 0 for their black sentinel.
import { graph } from "./chain";
import { node } from "./record";

/** Lowest bit of `parent`. */
const BLACK: u32 = 1;

// @ts-ignore: decorator
@inline function parentOf(n: usize): usize { return node(n).parent & ~BLACK; }
// @ts-ignore: decorator
@inline function isRed(n: usize): bool { return n != 0 && (node(n).parent & BLACK) == 0; }
// @ts-ignore: decorator
@inline function setParent(n: usize, p: usize): void { node(n).parent = <u32>p | (node(n).parent & BLACK); }
// @ts-ignore: decorator
@inline function blacken(n: usize): void { node(n).parent |= BLACK; }
// @ts-ignore: decorator
@inline function redden(n: usize): void { node(n).parent &= ~BLACK; }
// @ts-ignore: decorator
@inline function leftOf(n: usize): usize { return node(n).left; }
// @ts-ignore: decorator
@inline function rightOf(n: usize): usize { return node(n).right; }

/** `by` (0: nothing) takes the place of `n` below its parent. */
function replace(tree: usize, n: usize, by: usize): void {
  const p = parentOf(n);
  if (!p) graph(tree).root = <u32>by;
  else if (leftOf(p) == n) node(p).left = <u32>by;
  else node(p).right = <u32>by;
  if (by) setParent(by, p);
}

function rotateLeft(tree: usize, n: usize): void {
  const up = rightOf(n);
  const moved = leftOf(up);
  node(n).right = <u32>moved;
  if (moved) setParent(moved, n);
  replace(tree, n, up);
  node(up).left = <u32>n;
  setParent(n, up);
}

function rotateRight(tree: usize, n: usize): void {
  const up = leftOf(n);
  const moved = rightOf(up);
  node(n).left = <u32>moved;
  if (moved) setParent(moved, n);
  replace(tree, n, up);
  node(up).right = <u32>n;
  setParent(n, up);
}

/** Hangs `n` below `p` (0: it is the root) and balances. */
export function hang(tree: usize, n: usize, p: usize, left: bool): void {
  node(n).parent = <u32>p;
  node(n).left = 0;
  node(n).right = 0;
  if (!p) graph(tree).root = <u32>n;
  else if (left) node(p).left = <u32>n;
  else node(p).right = <u32>n;
  while (p && isRed(p)) {
    const g = parentOf(p);
    const leftSide = leftOf(g) == p;
    const uncle = leftSide ? rightOf(g) : leftOf(g);
    if (isRed(uncle)) {
      blacken(p);
      blacken(uncle);
      redden(g);
      n = g;
      p = parentOf(n);
      continue;
    }
    if (n == (leftSide ? rightOf(p) : leftOf(p))) {
      if (leftSide) rotateLeft(tree, p);
      else rotateRight(tree, p);
      const was = p;
      p = n;
      n = was;
    }
    blacken(p);
    redden(g);
    if (leftSide) rotateRight(tree, g);
    else rotateLeft(tree, g);
  }
  blacken(graph(tree).root);
}

/** A black node is missing above `x` (0 or a node), the child of `p`. */
function restore(tree: usize, x: usize, p: usize): void {
  while (p && !isRed(x)) {
    const left = leftOf(p) == x;
    let w = left ? rightOf(p) : leftOf(p);
    if (isRed(w)) {
      blacken(w);
      redden(p);
      if (left) rotateLeft(tree, p);
      else rotateRight(tree, p);
      w = left ? rightOf(p) : leftOf(p);
    }
    const near = left ? leftOf(w) : rightOf(w);
    let far = left ? rightOf(w) : leftOf(w);
    if (!isRed(near) && !isRed(far)) {
      redden(w);
      x = p;
      p = parentOf(x);
      continue;
    }
    if (!isRed(far)) {
      blacken(near);
      redden(w);
      if (left) rotateRight(tree, w);
      else rotateLeft(tree, w);
      far = w;
      w = near;
    }
    if (isRed(p)) redden(w);
    else blacken(w);
    blacken(p);
    blacken(far);
    if (left) rotateLeft(tree, p);
    else rotateRight(tree, p);
    return;
  }
  if (x) blacken(x);
}

/** Takes `n` out of the tree; it must still be in the chain. */
export function cut(tree: usize, n: usize): void {
  let x: usize;
  let p: usize;
  let red = isRed(n);
  if (!leftOf(n) || !rightOf(n)) {
    x = leftOf(n) ? leftOf(n) : rightOf(n);
    p = parentOf(n);
    replace(tree, n, x);
  } else {
    const s: usize = node(n).next;
    red = isRed(s);
    x = rightOf(s);
    p = parentOf(s);
    if (p == n) p = s;
    else {
      replace(tree, s, x);
      node(s).right = node(n).right;
      setParent(rightOf(s), s);
    }
    const wasRed = isRed(n);
    replace(tree, n, s);
    node(s).left = node(n).left;
    setParent(leftOf(s), s);
    if (wasRed) redden(s);
    else blacken(s);
  }
  if (!red) restore(tree, x, p);
}

/** The chain's next node, while a tree is made from it. Lane-local. */
let cursor: usize = 0;

/** A balanced subtree of the next `n` nodes, `depth` below the root; those on level `reds` are red. */
function balanced(n: u32, depth: u32, reds: u32): usize {
  if (n == 0) return 0;
  const before = (n - 1) >> 1;
  const left = balanced(before, depth + 1, reds);
  const middle = cursor;
  cursor = node(middle).next;
  const right = balanced(n - 1 - before, depth + 1, reds);
  node(middle).left = <u32>left;
  node(middle).right = <u32>right;
  node(middle).parent = depth != 0 && depth == reds ? 0 : BLACK;
  if (left) setParent(left, middle);
  if (right) setParent(right, middle);
  return middle;
}

/** Makes the tree anew from its chain of `n` nodes: the lowest level is red unless it is full. */
export function rebuild(tree: usize, n: u32): void {
  cursor = graph(tree).first;
  const lowest: u32 = n ? 31 - clz<u32>(n) : 0;
  graph(tree).root = <u32>balanced(n, 0, (n & (n + 1)) == 0 ? 32 : lowest);
}
