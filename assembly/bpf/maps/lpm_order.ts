// The order of an LPM trie: get_next_key goes through the prefixes as the kernel does, longer before shorter, then by their
// bits. Within a node that is: slot by slot, first what lies below the slot, then the prefixes whose last slot it is,
// longest first. Called under the map's lock.
import { bitsAt } from "./lpm_bits";
import { LEAF, SKIP, STRIDE, bestOf, childOf, depthOf, firstSlot, lengthOf, shadowOf, spanOf } from "./lpm_nodes";
import { head } from "./map";

// @ts-ignore: decorator
@inline function lastSlot(at: usize, d: u32, s: u32, e: usize): usize {
  return firstSlot(at, d, s, e) + ((spanOf(d, s, lengthOf(e)) - 1) << 3);
}

/** First prefix at or after `slot` of a node and below. */
function firstFrom(at: usize, d: u32, s: u32, slot: usize): usize {
  const end = at + ((<usize>1 << s) << 3);
  for (; slot < end; slot += 8) {
    const c = childOf(slot);
    if (c & LEAF) return c & ~LEAF;
    if (c) {
      const n: usize = c & ~SKIP;
      return firstFrom(n, depthOf(n), STRIDE, n);
    }
    const e = bestOf(slot);
    if (e && lastSlot(at, d, s, e) == slot) return e;
  }
  return 0;
}

/** The prefix after one that is in the trie, within a node and below; 0 when it is the last there. */
function after(at: usize, d: u32, s: u32, data: usize, length: u32): usize {
  let slot = at + (bitsAt(data, d, s) << 3);
  let e: usize;
  if (length <= d + s) {
    e = bestOf(slot);
    while (lengthOf(e) > length) e = shadowOf(e);
    slot = lastSlot(at, d, s, e);
    e = shadowOf(e);
  } else {
    const c = childOf(slot);
    if (!(c & LEAF)) {
      const n: usize = c & ~SKIP;
      const below = after(n, depthOf(n), STRIDE, data, length);
      if (below) return below;
    }
    e = bestOf(slot);
  }
  if (e && lastSlot(at, d, s, e) == slot) return e;
  return firstFrom(at, d, s, slot + 8);
}

/** First prefix of the trie, 0 when it is empty. */
export function firstPrefix(map: usize): usize {
  const h = head(map);
  return firstFrom(h.aux0, 0, h.aux1, h.aux0);
}

/** The prefix after one that is in the trie, 0 when it is the last. */
export function prefixAfter(map: usize, data: usize, length: u32): usize {
  const h = head(map);
  return after(h.aux0, 0, h.aux1, data, length);
}
