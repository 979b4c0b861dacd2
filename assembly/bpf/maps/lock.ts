// Locks on one u32 of the arena: whole words (bpf_spin_lock, map locks) and bit 1 of a bucket's head.
// Used by map updates and by the spin_lock helpers; never by lookups.
// A holder is some tens of ns in its section. If it was descheduled meanwhile, a waiter sleeps instead of
// burning the core that the holder needs: atomic.wait with a short time-out, because holders never notify
// (a notify costs 31 ns even when nobody waits, facts/wasm-and-afxdp §5).
import { MapHeader } from "../../layout.gen";
import { copyBytes, head } from "./map";

/** Tries before a waiter sleeps: some 10 µs. */
const SPINS: u32 = 2000;
/** Sleep of a waiter, ns. */
const NAP_NS: i64 = 50_000;
/**
 * Naps (2 s and more) after which the holder is taken for dead: a lane killed inside its section. The lock is then
 * taken over. Every store of a section leaves chains that readers and writers can walk, so at worst one element
 * stays out of use.
 */
const NAPS_DEAD: u32 = 40_000;

/** Bit 1 of a bucket's head word: the bucket is being changed. */
export const BUCKET_LOCK: u32 = 2;

/** Takes a lock word: 0 free, 1 held. The word must be 4-byte aligned. */
export function spinLock(word: usize): void {
  let tries: u32 = 0;
  while (atomic.cmpxchg<u32>(word, 0, 1) != 0) {
    while (atomic.load<u32>(word) != 0) {
      if (++tries <= SPINS) continue;
      if (tries > SPINS + NAPS_DEAD) return;
      atomic.wait<i32>(word, 1, NAP_NS);
    }
  }
}

// @ts-ignore: decorator
@inline export function spinUnlock(word: usize): void {
  atomic.store<u32>(word, 0);
}

/** Waits until bucket word `at` is free and returns it. */
function awaitBucket(at: usize): u32 {
  let v = atomic.load<u32>(at);
  for (let tries: u32 = 0; v & BUCKET_LOCK; v = atomic.load<u32>(at)) {
    if (++tries <= SPINS) continue;
    if (tries > SPINS + NAPS_DEAD) {
      atomic.cmpxchg<u32>(at, v, v & ~BUCKET_LOCK);
      tries = SPINS;
    } else atomic.wait<i32>(at, <i32>v, NAP_NS);
  }
  return v;
}

/** Takes the lock bit of a bucket's head and returns the head without it. Storing a head releases it. */
// @ts-ignore: decorator
@inline export function lockBucket(at: usize): u32 {
  let v = atomic.load<u32>(at);
  while (v & BUCKET_LOCK || atomic.cmpxchg<u32>(at, v, v | BUCKET_LOCK) != v) v = awaitBucket(at);
  return v;
}

// @ts-ignore: decorator
@inline export function unlockBucket(at: usize, newHead: u32): void {
  atomic.store<u32>(at, newHead);
}

/** Takes the map-wide lock. */
// @ts-ignore: decorator
@inline export function lockMap(map: usize): void {
  spinLock(map + offsetof<MapHeader>("lock"));
}

// @ts-ignore: decorator
@inline export function unlockMap(map: usize): void {
  spinUnlock(map + offsetof<MapHeader>("lock"));
}

/** Copies a value but for its bpf_spin_lock word, which belongs to whoever holds it. */
// @ts-ignore: decorator
@inline export function copyValue(map: usize, to: usize, from: usize): void {
  const h = head(map);
  const lockAt = h.valueLock;
  if (lockAt == 0) {
    copyBytes(to, from, h.valueSize);
    return;
  }
  const off = lockAt - 1;
  copyBytes(to, from, off);
  copyBytes(to + off + 4, from + off + 4, h.valueSize - off - 4);
}

/** Copies a value into a new element: its lock starts free whatever the source holds there. */
// @ts-ignore: decorator
@inline export function initValue(map: usize, to: usize, from: usize): void {
  copyValue(map, to, from);
  const lockAt = head(map).valueLock;
  if (lockAt) store<u32>(to + lockAt - 1, 0);
}

/** BPF_F_LOCK: copies a value while holding the lock inside `locked`, which is `to` for updates and `from` for reads. */
export function copyValueLocked(map: usize, to: usize, from: usize, locked: usize): void {
  const word = locked + head(map).valueLock - 1;
  spinLock(word);
  copyValue(map, to, from);
  spinUnlock(word);
}
