// BPF_MAP_TYPE_LPM_TRIE. Key: {u32 prefixlen, data in network order}.
//
// The kernel walks a binary trie, a bit a step. Here a root table takes the first 8 … 16 bits at once, then nodes
// take 4 bits each; runs of bits without branch are skipped, and a subtree of one prefix is no node but a leaf
// (lpm_nodes.ts has the picture).
//
// A node at depth d holds the prefixes of d+1 … d+4 bits, spread over the slots they cover. Lookup: remember the
// last `best` on the way down. Every node but the root holds at least two things (prefixes, children), so there
// are never more nodes than prefixes.
//
// Lookups take no lock: each change becomes visible by one store, so a reader sees the trie before or after it. Only
// reuse could mislead a reader, so state2 counts what was freed, and a reader during whose walk it changed walks
// again; all that it reads it loads by atomics, since arm64 may do a plain load after the second look at state2.
// Depth grows with every step, so a walk ends whatever it meets. Changes take the map's lock, as in the kernel.
// Elements are reused oldest first: a value stays readable for long after its deletion (the kernel waits for RCU).
import { MapHeader } from "../../layout.gen";
import { initValue, lockMap, unlockMap } from "./lock";
import { BPF_EXIST, BPF_NOEXIST, Errno, begin, copyBytes, done, fail, head } from "./map";
import { bitsAt, commonBits, sameBits } from "./lpm_bits";
import {
  ELEM_DATA, ELEM_FREE, ELEM_KEY, LEAF, LIVE, NODE_PATH, NODE_THINGS, SKIP, SLOTS, STRIDE, addThings, bestOf,
  bitsMax, childOf, countFreed, dataBytes, depthOf, firstSlot, freeElement, freeNode, freeNodes, lengthOf,
  setBest, setChild, setShadow, shadowOf, spanOf, takeElement, takeNode,
} from "./lpm_nodes";
import { firstPrefix, prefixAfter } from "./lpm_order";

/** Walks again at most so often before a reader takes the lock. */
const WALKS: u32 = 64;

// ── lookup ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Longest prefix of at most `limit` bits that covers `data`, 0 for none. `limited` is a literal. */
// @ts-ignore: decorator
@inline function search(map: usize, data: usize, limit: u32, limited: bool): usize {
  const h = head(map);
  const bytes = h.keySize - 4;
  const end = bytes << 3;
  let d = h.aux1;
  let slot: usize = h.aux0 + (bitsAt(data, 0, d) << 3);
  let best: usize = 0;
  while (true) {
    const both = atomic.load<u64>(slot);
    let b: usize = <u32>(both >> 32);
    if (limited) while (b && lengthOf(b) > limit) b = shadowOf(b);
    if (b) best = b;
    let c = <u32>both;
    if (!c) break;
    if (c & LEAF) {
      const e: usize = c & ~LEAF;
      const n = lengthOf(e);
      if ((!limited || n <= limit) && sameBits(e + ELEM_DATA, data, n, bytes)) best = e;
      break;
    }
    if (c & SKIP) {
      c &= ~SKIP;
      const to = depthOf(c);
      if (to <= d || !sameBits(<usize>c + NODE_PATH, data, to, bytes)) break;
      d = to;
    }
    if (d >= end || (limited && d >= limit)) break;
    slot = c + (bitsAt(data, d, STRIDE) << 3);
    d += STRIDE;
  }
  return best;
}

export function lpm_trie_lookup_elem(map: usize, key: usize): usize {
  const h = head(map);
  const limit = load<u32>(key);
  const max = bitsMax(map);
  if (limit > max) return 0;
  const freed = map + offsetof<MapHeader>("state2");
  for (let walks: u32 = 0; walks < WALKS; walks++) {
    const before = atomic.load<u32>(freed);
    const e = limit == max ? search(map, key + 4, limit, false) : search(map, key + 4, limit, true);
    if (atomic.load<u32>(freed) == before) return e ? e + h.aux3 : 0;
  }
  lockMap(map);
  const e = search(map, key + 4, limit, true);
  unlockMap(map);
  return e ? e + h.aux3 : 0;
}

// ── where a prefix belongs ───────────────────────────────────────────────────────────────────────────────────
// locate() leaves its answer in these; the map's lock is held, and globals are lane-local.

/** Node (or root) that the walk ended in, its depth and how many bits its slots take. */
let node: usize = 0;
let depth: u32 = 0;
let stride: u32 = 0;
/** Slot there; 0 when the prefix ends within the node and is spread over slots. */
let slotAt: usize = 0;
/** Slot that leads to the node, and the depth a child without skipped bits has there. 0: the node is the root. */
let parentSlot: usize = 0;
let parentEnd: u32 = 0;

/** Finds the element of exactly this prefix, or 0 and the place where it would go. */
function locate(map: usize, data: usize, length: u32): usize {
  const h = head(map);
  const bytes = dataBytes(map);
  node = h.aux0;
  depth = 0;
  stride = h.aux1;
  parentSlot = 0;
  while (true) {
    const at = node + (bitsAt(data, depth, stride) << 3);
    if (length <= depth + stride) {
      slotAt = 0;
      let e = bestOf(at);
      while (e && lengthOf(e) > length) e = shadowOf(e);
      return e && lengthOf(e) == length ? e : 0;
    }
    slotAt = at;
    const c = childOf(at);
    if (!c) return 0;
    if (c & LEAF) {
      const e: usize = c & ~LEAF;
      return lengthOf(e) == length && sameBits(e + ELEM_DATA, data, length, bytes) ? e : 0;
    }
    const next: usize = c & ~SKIP;
    const to = depthOf(next);
    if (c & SKIP && (length <= to || !sameBits(next + NODE_PATH, data, to, bytes))) return 0;
    parentSlot = at;
    parentEnd = depth + stride;
    node = next;
    depth = to;
    stride = STRIDE;
  }
}

/** Spreads a new prefix over its slots of a node, below longer ones and above shorter ones. */
function spread(at: usize, d: u32, s: u32, e: usize): void {
  const length = lengthOf(e);
  const first = firstSlot(at, d, s, e);
  const last = first + (spanOf(d, s, length) << 3);
  let shorter = bestOf(first);
  while (shorter && lengthOf(shorter) > length) shorter = shadowOf(shorter);
  setShadow(e, shorter);
  for (let slot = first; slot < last; slot += 8) {
    let y = bestOf(slot);
    if (!y || lengthOf(y) < length) {
      setBest(slot, e);
      continue;
    }
    for (let z = shadowOf(y); z && lengthOf(z) > length; z = shadowOf(y)) y = z;
    if (y != e) setShadow(y, e);
  }
}

/** Puts `to` (0: nothing) in the place of `old` in all slots of a node that it covers. */
function exchange(at: usize, d: u32, s: u32, old: usize, to: usize): void {
  const first = firstSlot(at, d, s, old);
  const last = first + (spanOf(d, s, lengthOf(old)) << 3);
  const below = shadowOf(old);
  if (to) setShadow(to, below);
  const heir = to ? to : below;
  for (let slot = first; slot < last; slot += 8) {
    let y = bestOf(slot);
    if (y == old) {
      setBest(slot, heir);
      continue;
    }
    while (y && shadowOf(y) != old) y = shadowOf(y);
    if (y) setShadow(y, heir);
  }
}

// ── update and delete ────────────────────────────────────────────────────────────────────────────────────────

/** Adds a prefix to a node that nobody sees yet. */
function addFresh(n: usize, d: u32, e: usize): void {
  if (lengthOf(e) <= d + STRIDE) spread(n, d, STRIDE, e);
  else setChild(n + (bitsAt(e + ELEM_DATA, d, STRIDE) << 3), <u32>e | LEAF);
  addThings(n, 1);
}

// @ts-ignore: decorator
@inline function link(n: usize, end: u32): u32 {
  return <u32>n | (depthOf(n) > end ? SKIP : 0);
}

/** Puts a new prefix where locate() ended; false when no node is left. */
function insert(map: usize, e: usize): bool {
  const length = lengthOf(e);
  const data = e + ELEM_DATA;
  const inRoot = parentSlot == 0;
  if (!slotAt) {
    spread(node, depth, stride, e);
    if (!inRoot) addThings(node, 1);
    return true;
  }
  const c = childOf(slotAt);
  if (!c) {
    setChild(slotAt, <u32>e | LEAF);
    if (!inRoot) addThings(node, 1);
    return true;
  }
  // What is there and the new prefix part ways, or one ends, before the next node: a node goes between.
  const leaf = (c & LEAF) != 0;
  const there: usize = c & ~(LEAF | SKIP);
  const itsData = there + (leaf ? ELEM_DATA : NODE_PATH);
  const itsLength = leaf ? lengthOf(there) : depthOf(there) + 1;
  const shorter = min(length, itsLength);
  const fork = min(commonBits(data, itsData, shorter), shorter - 1) & ~(STRIDE - 1);
  const n = takeNode(map, fork, data);
  if (!n) return false;
  if (leaf) {
    addFresh(n, fork, there);
  } else {
    setChild(n + (bitsAt(itsData, fork, STRIDE) << 3), link(there, fork + STRIDE));
    addThings(n, 1);
  }
  addFresh(n, fork, e);
  setChild(slotAt, link(n, depth + stride));
  return true;
}

/** A node left with one thing gives way to it. */
function collapse(map: usize): void {
  if (parentSlot == 0 || load<u32>(node, NODE_THINGS) != 1) return;
  for (let i: u32 = 0; i < SLOTS; i++) {
    const slot = node + (i << 3);
    const c = childOf(slot);
    const b = bestOf(slot);
    if (!c && !b) continue;
    if (b) setChild(parentSlot, <u32>b | LEAF);
    else if (c & LEAF) setChild(parentSlot, c);
    else setChild(parentSlot, link(c & ~SKIP, parentEnd));
    break;
  }
  freeNode(map, node);
}

export function lpm_trie_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  begin(map);
  return done(update(map, key, value, flags));
}

function update(map: usize, key: usize, value: usize, flags: u64): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  const h = head(map);
  if (load<u32>(key) > bitsMax(map)) return fail(Errno.EINVAL);
  lockMap(map);
  const old = locate(map, key + 4, load<u32>(key));
  let no: i32 = 0;
  if (old && flags == BPF_NOEXIST) no = Errno.EEXIST;
  else if (!old && flags == BPF_EXIST) no = Errno.ENOENT;
  else if (!old && h.count >= h.maxEntries) no = Errno.ENOSPC;
  if (no) {
    unlockMap(map);
    return fail(no);
  }
  const e = takeElement(map);
  copyBytes(e + ELEM_KEY, key, h.keySize);
  initValue(map, e + h.aux3, value);
  store<u32>(e, LIVE, ELEM_FREE);
  if (old) {
    if (slotAt) {
      setShadow(e, 0);
      setChild(slotAt, <u32>e | LEAF);
    } else exchange(node, depth, stride, old, e);
    freeElement(map, old);
  } else {
    setShadow(e, 0);
    if (insert(map, e)) {
      h.count++;
    } else {
      freeElement(map, e);
      no = Errno.ENOMEM;
    }
  }
  unlockMap(map);
  return fail(no);
}

export function lpm_trie_delete_elem(map: usize, key: usize): i64 {
  begin(map);
  return done(remove(map, key));
}

function remove(map: usize, key: usize): i64 {
  const length = load<u32>(key);
  if (length > bitsMax(map)) return fail(Errno.EINVAL);
  lockMap(map);
  const e = locate(map, key + 4, length);
  if (!e) {
    unlockMap(map);
    return fail(Errno.ENOENT);
  }
  if (slotAt) setChild(slotAt, 0);
  else exchange(node, depth, stride, e, 0);
  if (parentSlot) addThings(node, -1);
  collapse(map);
  freeElement(map, e);
  head(map).count--;
  unlockMap(map);
  return 0;
}

export function lpm_trie_get_next_key(map: usize, key: usize, next: usize): i64 {
  const length = key ? load<u32>(key) : 0;
  lockMap(map);
  const known = key && length <= bitsMax(map) && locate(map, key + 4, length);
  const e = known ? prefixAfter(map, key + 4, length) : firstPrefix(map);
  if (e) copyBytes(next, e + ELEM_KEY, head(map).keySize);
  unlockMap(map);
  return e ? 0 : fail(Errno.ENOENT);
}

// ── making and mending ───────────────────────────────────────────────────────────────────────────────────────

/** Builds the free lists. Called once by the host. */
export function lpm_trie_init(map: usize): void {
  const h = head(map);
  let last: u32 = 0;
  h.free = h.dataAt;
  for (let i: u32 = 0; i <= h.maxEntries; i++) {
    const e = h.dataAt + i * h.stride;
    if (last) store<u32>(last, e, ELEM_FREE);
    last = e;
  }
  store<u32>(last, 0, ELEM_FREE);
  h.state0 = last;
  freeNodes(map);
}

/**
 * Builds the trie anew from its elements, after a lane died while it changed it: what it had in hand is free again.
 * Called by the host while no lane runs. Returns elements that were in no list.
 */
export function rebuildTrie(map: usize): u32 {
  const h = head(map);
  lockMap(map);
  let free: u32 = 0;
  for (let e: usize = h.free; e; e = load<u32>(e, ELEM_FREE)) free++;
  for (let slot = h.aux0, end = h.aux0 + (8 << h.aux1); slot < end; slot += 8) store<u64>(slot, 0);
  h.free = 0;
  h.state0 = 0;
  h.count = 0;
  freeNodes(map);
  countFreed(map);
  for (let i: u32 = 0; i <= h.maxEntries; i++) {
    const e: usize = h.dataAt + i * h.stride;
    // Old and new element of a prefix that was being replaced: one of them stays.
    const kept = load<u32>(e, ELEM_FREE) == LIVE && !locate(map, e + ELEM_DATA, lengthOf(e));
    setShadow(e, 0);
    if (kept && insert(map, e)) h.count++;
    else freeElement(map, e);
  }
  const now = h.maxEntries + 1 - h.count;
  unlockMap(map);
  return now - free;
}
