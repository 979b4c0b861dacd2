// Locks of maps, and of the buckets of a table: core/lock.ts on a word of each. Used by updates; never by lookups.
// A holder may die inside: every store of a section leaves chains that readers and writers can walk; an element in no
// chain is found by the recovery (reclaim.ts).
import { FieldRecord, MapHeader } from "../../layout.gen";
import { awaitChange, spinLock, spinUnlock } from "../../core/lock";
import { place } from "../objects/record";
import { copyBytes, head, zeroBytes } from "./map";

export { awaitChange, spinLock, spinUnlock };

/** Offset of a bucket's lock word; its head stands before it. */
const BUCKET_LOCK: usize = 4;

/** Locks the bucket at `at` and returns its head. */
// @ts-ignore: decorator
@inline export function lockBucket(at: usize): u32 {
  spinLock(at + BUCKET_LOCK);
  return atomic.load<u32>(at);
}

/** Stores head and free lock at once. */
// @ts-ignore: decorator
@inline export function unlockBucket(at: usize, newHead: u32): void {
  atomic.store<u64>(at, <u64>newHead);
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

/** Bytes of a struct bpf_timer in a value. */
const TIMER_BYTES: u32 = 16;

/** Copies a value but for what is the engine's in it: bpf_spin_lock, bpf_timer, trees, lists, kptrs. */
// @ts-ignore: decorator
@inline export function copyValue(map: usize, to: usize, from: usize): void {
  const h = head(map);
  if ((h.valueLock | h.valueTimer | h.recordAt) == 0) copyBytes(to, from, h.valueSize);
  else copyAround(map, to, from);
}

/** Around every member of a value that is the engine's. */
function copyAroundAll(record: usize, size: u32, to: usize, from: usize): void {
  const count = changetype<FieldRecord>(record).count;
  let at: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const f = place(record, i);
    copyBytes(to + at, from + at, f.off - at);
    at = f.off + f.bytes;
  }
  copyBytes(to + at, from + at, size - at);
}

function copyAround(map: usize, to: usize, from: usize): void {
  const h = head(map);
  const size = h.valueSize;
  if (h.recordAt) return copyAroundAll(h.recordAt, size, to, from);
  // Two holes in order; one that is not there lies at the end.
  let first = h.valueLock ? h.valueLock - 1 : size;
  let firstBytes: u32 = h.valueLock ? 4 : 0;
  let second = h.valueTimer ? h.valueTimer - 1 : size;
  let secondBytes: u32 = h.valueTimer ? TIMER_BYTES : 0;
  if (second < first) {
    const at = first;
    first = second;
    second = at;
    const bytes = firstBytes;
    firstBytes = secondBytes;
    secondBytes = bytes;
  }
  copyBytes(to, from, first);
  let at = first + firstBytes;
  copyBytes(to + at, from + at, second - at);
  at = second + secondBytes;
  copyBytes(to + at, from + at, size - at);
}

/**
 * Copies a value into a new element: lock and timer start anew whatever the source holds there. A lock beside a tree or list
 * stays as it is: who came by the element's address before it was deleted may be changing that tree.
 */
// @ts-ignore: decorator
@inline export function initValue(map: usize, to: usize, from: usize): void {
  copyValue(map, to, from);
  const h = head(map);
  if (h.recordAt) return;
  if (h.valueLock) store<u32>(to + h.valueLock - 1, 0);
  if (h.valueTimer) zeroBytes(to + h.valueTimer - 1, TIMER_BYTES);
}

/** BPF_F_LOCK: copies a value while holding the lock inside `locked`, which is `to` for updates and `from` for reads. */
export function copyValueLocked(map: usize, to: usize, from: usize, locked: usize): void {
  const word = locked + head(map).valueLock - 1;
  spinLock(word);
  copyValue(map, to, from);
  spinUnlock(word);
}
