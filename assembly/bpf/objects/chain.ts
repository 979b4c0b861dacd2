// The order of a list's or tree's nodes: a chain from GraphHead.first along GraphNode.next, ended by 0. One store puts a
// node into it or takes it out, so that it is whole whenever a lane dies; `busy` says that the rest may not be, and
// whoever comes next makes it anew (mend). A head of zeroes is empty.
import { GraphHead, GraphNode } from "../../layout.gen";
import { node } from "./record";
import { rebuild } from "./rbtree";

const NEXT: usize = offsetof<GraphNode>("next");
const OWNER: usize = offsetof<GraphNode>("owner");
const BUSY: usize = offsetof<GraphHead>("busy");

/** Owner of a node that is about to be put somewhere. */
const COMING: u32 = 1;

// @ts-ignore: decorator
@inline export function graph(at: usize): GraphHead { return changetype<GraphHead>(at); }
// @ts-ignore: decorator
@inline export function ownerOf(at: usize): usize { return atomic.load<u32>(at, OWNER); }
// @ts-ignore: decorator
@inline export function setOwner(at: usize, owner: usize): void { atomic.store<u32>(at, <u32>owner, OWNER); }

/** Takes a node that is nowhere. False: it is in some tree or list, or another lane was faster. */
// @ts-ignore: decorator
@inline export function claim(at: usize): bool { return atomic.cmpxchg<u32>(at, 0, COMING, OWNER) == 0; }

/** Before a look at a list or tree whose lock is held: what a dead holder left half done is made whole. */
// @ts-ignore: decorator
@inline export function look(at: usize, tree: bool): void {
  if (graph(at).busy) mend(at, tree);
}

// @ts-ignore: decorator
@inline export function begin(at: usize): void { atomic.store<u32>(at, 1, BUSY); }
// @ts-ignore: decorator
@inline export function end(at: usize): void { atomic.store<u32>(at, 0, BUSY); }

/** Puts a claimed node between two neighbours, either of which may be 0. The tree's links are its owner's. */
export function linkBetween(at: usize, n: usize, prev: usize, next: usize): void {
  node(n).prev = <u32>prev;
  node(n).next = <u32>next;
  if (prev) atomic.store<u32>(prev, <u32>n, NEXT);
  else atomic.store<u32>(at, <u32>n);
  if (next) node(next).prev = <u32>n;
  else graph(at).last = <u32>n;
}

/** Takes a node out of the chain; it stays claimed. */
export function unlink(at: usize, n: usize): void {
  const next: usize = node(n).next;
  const prev: usize = node(n).prev;
  if (prev) atomic.store<u32>(prev, <u32>next, NEXT);
  else atomic.store<u32>(at, <u32>next);
  if (next) node(next).prev = <u32>prev;
  else graph(at).last = <u32>prev;
}

/** Makes everything from the chain. */
function mend(at: usize, tree: bool): void {
  let prev: usize = 0;
  let count: u32 = 0;
  for (let n: usize = graph(at).first; n; n = node(n).next) {
    node(n).prev = <u32>prev;
    setOwner(n, at);
    prev = n;
    count++;
  }
  graph(at).last = <u32>prev;
  if (tree) rebuild(at, count);
  end(at);
}
