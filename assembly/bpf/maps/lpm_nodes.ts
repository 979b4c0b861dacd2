// What an LPM trie is made of: slots, nodes, elements, and the lists of free ones. Used by lpm_trie.ts and lpm_order.ts.
//
//   aux0 ─▶ root: 2^aux1 slots                       slot: │ child u32 │ best u32 │
//   aux2 ─▶ nodes: │ 16 slots │ depth │ things │ path │
//   dataAt ─▶ elements: │ shadow │ free link │ key {prefixlen, data} │ value at aux3 │
//
//   child  0, a node, a node | SKIP (bits were left out: compare its path), or an element | LEAF (compare its bits)
//   best   longest prefix that ends within this node and covers the slot
//   shadow of an element: the next shorter prefix within the same node that covers it
// Slots and shadows are changed by one atomic store each; free lists under the map's lock.
import { MapHeader } from "../../layout.gen";
import { copyBytes, head } from "./map";
import { bitsAt } from "./lpm_bits";

export const LEAF: u32 = 1;
export const SKIP: u32 = 2;
export const STRIDE: u32 = 4;
export const SLOTS: u32 = 16;

const NODE_DEPTH: usize = 128;
/** While the node is free: address of the next free one. */
export const NODE_THINGS: usize = 132;
export const NODE_PATH: usize = 136;

/** Next in the free list, 0 at its end; LIVE while the element is in the trie, or about to be. */
export const ELEM_FREE: usize = 4;
export const LIVE: u32 = 1;
export const ELEM_KEY: usize = 8;
export const ELEM_DATA: usize = 12;

// @ts-ignore: decorator
@inline export function dataBytes(map: usize): u32 { return head(map).keySize - 4; }
// @ts-ignore: decorator
@inline export function bitsMax(map: usize): u32 { return dataBytes(map) << 3; }
// @ts-ignore: decorator
@inline function nodeBytes(map: usize): u32 { return (<u32>NODE_PATH + dataBytes(map) + 63) & ~63; }
// @ts-ignore: decorator
@inline export function lengthOf(e: usize): u32 { return atomic.load<u32>(e, ELEM_KEY); }
// @ts-ignore: decorator
@inline export function shadowOf(e: usize): usize { return atomic.load<u32>(e); }
// @ts-ignore: decorator
@inline export function setShadow(e: usize, to: usize): void { atomic.store<u32>(e, <u32>to); }
// @ts-ignore: decorator
@inline export function childOf(slot: usize): u32 { return atomic.load<u32>(slot); }
// @ts-ignore: decorator
@inline export function setChild(slot: usize, c: u32): void { atomic.store<u32>(slot, c); }
// @ts-ignore: decorator
@inline export function bestOf(slot: usize): usize { return atomic.load<u32>(slot, 4); }
// @ts-ignore: decorator
@inline export function setBest(slot: usize, e: usize): void { atomic.store<u32>(slot, <u32>e, 4); }
// @ts-ignore: decorator
@inline export function depthOf(node: usize): u32 { return atomic.load<u32>(node, NODE_DEPTH); }

/** Slots of a node of `stride` bits at `depth` that a prefix of `length` bits covers: how many. */
// @ts-ignore: decorator
@inline export function spanOf(d: u32, s: u32, length: u32): u32 { return <u32>1 << (d + s - length); }

/** First slot that the prefix of `e` covers. */
// @ts-ignore: decorator
@inline export function firstSlot(at: usize, d: u32, s: u32, e: usize): usize {
  return at + ((bitsAt(e + ELEM_DATA, d, s) & ~(spanOf(d, s, lengthOf(e)) - 1)) << 3);
}

// ── free elements and nodes ──────────────────────────────────────────────────────────────────────────────────

/** Readers that walk now walk again. After what was freed is unlinked, before it is reused. */
// @ts-ignore: decorator
@inline export function countFreed(map: usize): void {
  atomic.add<u32>(map + offsetof<MapHeader>("state2"), 1);
}

/** One more element than entries stands ready, so that a full map can still replace. */
export function takeElement(map: usize): usize {
  const h = head(map);
  const e: usize = h.free;
  h.free = load<u32>(e, ELEM_FREE);
  if (!h.free) h.state0 = 0;
  return e;
}

/** Appends to the free list: the oldest is reused first. state0 = last of the list. */
export function freeElement(map: usize, e: usize): void {
  const h = head(map);
  countFreed(map);
  store<u32>(e, 0, ELEM_FREE);
  if (h.state0) store<u32>(h.state0, <u32>e, ELEM_FREE);
  else h.free = <u32>e;
  h.state0 = <u32>e;
}

/** An empty node at depth `d` on the way to `data`; 0 when none is left. */
export function takeNode(map: usize, d: u32, data: usize): usize {
  const h = head(map);
  const n: usize = h.state1;
  if (!n) return 0;
  h.state1 = load<u32>(n, NODE_THINGS);
  for (let i: usize = 0; i < NODE_DEPTH; i += 8) store<u64>(n + i, 0);
  store<u32>(n, d, NODE_DEPTH);
  store<u32>(n, 0, NODE_THINGS);
  copyBytes(n + NODE_PATH, data, dataBytes(map));
  return n;
}

export function freeNode(map: usize, n: usize): void {
  countFreed(map);
  store<u32>(n, head(map).state1, NODE_THINGS);
  head(map).state1 = <u32>n;
}

// @ts-ignore: decorator
@inline export function addThings(n: usize, by: i32): void {
  store<u32>(n, load<u32>(n, NODE_THINGS) + by, NODE_THINGS);
}

/** Puts every node in the free list; state3 = number of nodes. */
export function freeNodes(map: usize): void {
  const h = head(map);
  h.state1 = 0;
  for (let i = h.state3; i-- > 0; ) {
    const n = h.aux2 + i * nodeBytes(map);
    store<u32>(n, h.state1, NODE_THINGS);
    h.state1 = n;
  }
}
