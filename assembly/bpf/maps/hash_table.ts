// The hash table under hash, percpu_hash, lru_hash, lru_percpu_hash, hash_of_maps and devmap_hash.
//
//   aux0 ─▶ buckets: {u32 head, u32 lock}, a power of two of them (aux1 = mask)
//   aux2 ─▶ coefficients of the hash (hash_key.ts)
//   dataAt ─▶ elements, all of them preallocated, `stride` apart:
//     +0 next   address of the next element, or the end marker of the bucket: bucket << 2 | 1
//     +4 hash   of the key; while the element is free: address of the next free one
//     +8 ref    LRU: 1 when used since the hand last passed; 2 = being taken out
//     +12 pv    per-CPU: address of lane 0's value
//     +16 key, then the value at +aux3 (8-byte aligned)
//
// Lookups take no lock. Updates lock one bucket (lock.ts). Elements are recycled at once, as in the
// kernel's preallocated maps: a reader that stands on one may be led into another bucket, which it sees by the
// end marker (hlist_nulls) and starts again; links never leave the element array, and a walk has a step limit.
// A replaced key gets a new element linked before the old one is taken out, so readers never miss it.
// There are maxEntries + copies elements: `count` keeps maxEntries, each lane may hold one in its hand. When it dies with
// it, reclaim.ts finds it again.
import { MapHeader } from "../../layout.gen";
import { lockBucket, unlockBucket } from "./lock";
import { head } from "./map";
import { hashKey, sameKey } from "./hash_key";

export const ELEM_KEY: usize = 16;
const ELEM_HASH: usize = 4;
const ELEM_REF: usize = 8;
const ELEM_PV: usize = 12;

/** Steps a reader makes in one walk before it takes the careful way. */
const WALK_STEPS: u32 = 64;
/** Careful walks without a lock before the bucket is locked. */
const CAREFUL_WALKS: u32 = 8;

// @ts-ignore: decorator
@inline export function refOf(e: usize): u32 { return load<u32>(e, ELEM_REF); }
// @ts-ignore: decorator
@inline export function setRef(e: usize, v: u32): void { store<u32>(e, v, ELEM_REF); }
// @ts-ignore: decorator
@inline export function laneValues(e: usize): usize { return load<u32>(e, ELEM_PV); }
// @ts-ignore: decorator
@inline export function elemKey(e: usize): usize { return e + ELEM_KEY; }
// @ts-ignore: decorator
@inline export function elemValue(map: usize, e: usize): usize { return e + head(map).aux3; }
// @ts-ignore: decorator
@inline export function bucketOf(map: usize, hash: u32): usize { return head(map).aux0 + ((hash & head(map).aux1) << 3); }
// @ts-ignore: decorator
@inline export function endMark(map: usize, hash: u32): u32 { return ((hash & head(map).aux1) << 2) | 1; }
// @ts-ignore: decorator
@inline export function elemHash(e: usize): u32 { return load<u32>(e, ELEM_HASH); }
// @ts-ignore: decorator
@inline export function nextOf(e: usize): usize { return atomic.load<u32>(e); }

/** Hash of a key of this map. */
export function hashOf(map: usize, key: usize): u32 {
  const h = head(map);
  const n = h.keySize;
  const seeds = h.aux2;
  if (n == 16) return hashKey(seeds, key, 16);
  if (n == 8) return hashKey(seeds, key, 8);
  if (n == 4) return hashKey(seeds, key, 4);
  return hashKey(seeds, key, n);
}

/** A walk went astray or was long: walks again with room for the longest chain, in the end under the lock. */
function findCarefully(map: usize, key: usize): usize {
  const h = head(map);
  const n = h.keySize;
  const hash = hashOf(map, key);
  const at = bucketOf(map, hash);
  for (let i: u32 = 0; i < CAREFUL_WALKS; i++) {
    let e: usize = atomic.load<u32>(at);
    for (let left = h.maxEntries + h.lanes; !(e & 1) && left; left--) {
      if (elemHash(e) == hash && sameKey(e + ELEM_KEY, key, n)) return e;
      e = nextOf(e);
    }
    if (e == endMark(map, hash)) return 0;
  }
  const first = lockBucket(at);
  const e = walk(map, at, first, hash, key);
  unlockBucket(at, first);
  return e;
}

/** One lock-free walk for a key of `n` bytes. */
// @ts-ignore: decorator
@inline function findSized(map: usize, key: usize, n: u32): usize {
  const h = head(map);
  const hash = hashKey(h.aux2, key, n);
  const bucket = hash & h.aux1;
  let e: usize = atomic.load<u32>(h.aux0 + (bucket << 3));
  let left = WALK_STEPS;
  while (!(e & 1)) {
    // Longer keys than 16 bytes compare the stored hash first.
    if ((n <= 16 || elemHash(e) == hash) && sameKey(e + ELEM_KEY, key, n)) return e;
    if (--left == 0) return findCarefully(map, key);
    e = nextOf(e);
  }
  return e >> 2 == bucket ? 0 : findCarefully(map, key);
}

/** Element under a key or 0. No lock. */
// @ts-ignore: decorator
@inline export function find(map: usize, key: usize): usize {
  const n = head(map).keySize;
  if (n == 16) return findSized(map, key, 16);
  if (n == 8) return findSized(map, key, 8);
  if (n == 4) return findSized(map, key, 4);
  if (n == 12) return findSized(map, key, 12);
  return findSized(map, key, n);
}

/** Set by walk(): the word that links to the element it found. Lane-local. */
let linkAt: usize = 0;

/** Finds a key in a locked bucket whose head is `first`; 0 when it is not there. */
export function walk(map: usize, at: usize, first: u32, hash: u32, key: usize): usize {
  const n = head(map).keySize;
  let e: usize = first;
  linkAt = at;
  while (!(e & 1)) {
    if (elemHash(e) == hash && sameKey(e + ELEM_KEY, key, n)) return e;
    linkAt = e;
    e = load<u32>(e);
  }
  return 0;
}

/** Finds an element itself in a locked bucket. */
export function walkTo(at: usize, first: u32, elem: usize): bool {
  let e: usize = first;
  linkAt = at;
  while (!(e & 1)) {
    if (e == elem) return true;
    linkAt = e;
    e = load<u32>(e);
  }
  return false;
}

/** Takes out of a locked bucket what walk() found, and unlocks it. */
// @ts-ignore: decorator
@inline export function unlinkAndUnlock(at: usize, first: u32, e: usize): void {
  const next = load<u32>(e);
  if (linkAt == at) {
    unlockBucket(at, next);
  } else {
    atomic.store<u32>(linkAt, next);
    unlockBucket(at, first);
  }
}

/** Puts a filled element at the head of a locked bucket, and unlocks it. */
// @ts-ignore: decorator
@inline export function linkAndUnlock(at: usize, first: u32, e: usize, hash: u32): void {
  store<u32>(e, hash, ELEM_HASH);
  atomic.store<u32>(e, first);
  unlockBucket(at, <u32>e);
}

/** Puts `e` in the place of `old`, which walk() found, and unlocks. Readers see one of them at every moment. */
// @ts-ignore: decorator
@inline export function replaceAndUnlock(at: usize, first: u32, e: usize, old: usize, hash: u32): void {
  store<u32>(e, hash, ELEM_HASH);
  if (linkAt == at) {
    atomic.store<u32>(e, load<u32>(old));
  } else {
    atomic.store<u32>(e, first);
    atomic.store<u32>(at, <u32>e);
    atomic.store<u32>(linkAt, load<u32>(old));
  }
  unlockBucket(at, <u32>e);
}

// The free list is a stack of elements linked through their hash word, so that a reader that stands on a free
// element still finds its old `next`. Head and a change count share one u64: {free, state0}.

/** Takes a free element; 0 when there is none: other lanes have all in hand (that is -ENOMEM). */
export function takeFree(map: usize): usize {
  const at = map + offsetof<MapHeader>("free");
  while (true) {
    const v = atomic.load<u64>(at);
    const e = <u32>v;
    if (e == 0) return 0;
    // May read a word that another lane has already reused: then the change count differs and the swap fails.
    const rest = <u64>load<u32>(e, ELEM_HASH);
    if (atomic.cmpxchg<u64>(at, v, (((v >> 32) + 1) << 32) | rest) == v) return e;
  }
}

/** The free element after a free one. */
// @ts-ignore: decorator
@inline export function nextFree(e: usize): usize { return load<u32>(e, ELEM_HASH); }

export function giveFree(map: usize, e: usize): void {
  const at = map + offsetof<MapHeader>("free");
  while (true) {
    const v = atomic.load<u64>(at);
    store<u32>(e, <u32>v, ELEM_HASH);
    if (atomic.cmpxchg<u64>(at, v, (((v >> 32) + 1) << 32) | <u64>(<u32>e)) == v) return;
  }
}

/** Reserves room for one more key; false when the map is full. */
// @ts-ignore: decorator
@inline export function reserve(map: usize): bool {
  const at = map + offsetof<MapHeader>("count");
  if (atomic.add<u32>(at, 1) < head(map).maxEntries) return true;
  atomic.sub<u32>(at, 1);
  return false;
}

// @ts-ignore: decorator
@inline export function unreserve(map: usize): void {
  atomic.sub<u32>(map + offsetof<MapHeader>("count"), 1);
}

/** Deletes a key and returns its element, which the caller must give back; 0 when it was not there. */
export function takeOut(map: usize, key: usize): usize {
  const hash = hashOf(map, key);
  const at = bucketOf(map, hash);
  const first = lockBucket(at);
  const e = walk(map, at, first, hash, key);
  if (e) unlinkAndUnlock(at, first, e);
  else unlockBucket(at, first);
  return e;
}

/** First element at or after bucket `b`; 0 at the end. */
function firstFrom(map: usize, b: u32): usize {
  const h = head(map);
  for (; b <= h.aux1; b++) {
    const e = atomic.load<u32>(h.aux0 + (b << 3));
    if (!(e & 1)) return e;
  }
  return 0;
}

/** Element that follows `key` in the table's order; the first one when key is 0 or gone, as in the kernel. */
export function following(map: usize, key: usize): usize {
  const e = key ? find(map, key) : 0;
  if (!e) return firstFrom(map, 0);
  const n = nextOf(e);
  return n & 1 ? firstFrom(map, <u32>(n >> 2) + 1) : n;
}

/** Lays out empty buckets and the free list over `total` elements. Called once by the host. */
export function initTable(map: usize, total: u32): void {
  const h = head(map);
  for (let b: u32 = 0; b <= h.aux1; b++) store<u64>(h.aux0 + (b << 3), (b << 2) | 1);
  const valueBytes = h.laneStride ? <u32>((h.valueSize + 7) & ~7) : 0;
  let free: u32 = 0;
  for (let i = total; i-- > 0; ) {
    const e = h.dataAt + i * h.stride;
    store<u32>(e, 1);
    store<u32>(e, free, ELEM_HASH);
    store<u32>(e, 0, ELEM_REF);
    store<u32>(e, h.laneStride ? h.valuesAt + i * valueBytes : 0, ELEM_PV);
    free = e;
  }
  h.free = free;
  h.state0 = 0;
  h.count = 0;
}
