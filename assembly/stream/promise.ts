// What of stream memory is promised. A stream that is open has its rings, or gets them whenever it asks: so no transport
// waits for memory that others hold, and none of them for it.
//
//   budget  ├─ least rings of all that are open ─┤─ what rings are larger ─┤─ nobody's ─┤
//           ├─ at least `reserve`: for streams to come ─┤
//
// Called when a stream is opened, when its rings are made or grow, and when it goes: never per packet. Promises: what is promised is
// never more than the budget, and pieces of the pool are never less than what is promised and not yet made. The
// smallest piece is the least ring, so that no order of the pieces is in its way.
import { STREAM_BLOCK, StreamPool } from "../layout.gen";
import { pool } from "./record";

/** The least ring. */
export const LEAST: u32 = STREAM_BLOCK;
/** A ring, and one that takes the place of a smaller one, is promised at most this part of what is nobody's: 1 / 2^SHARE_SHIFT. */
const SHARE_SHIFT: u32 = 1;
/** This part of what is not reserved is for first rings, 1 / 2^KEPT_SHIFT: connections that were large once and rest now must not starve those that come. */
const KEPT_SHIFT: u32 = 1;
/** Streams that applications open leave one part of so many of the reserve to others. */
const COMING: u32 = 9;

// @ts-ignore: decorator
@inline function word(p: StreamPool): usize { return changetype<usize>(p) + offsetof<StreamPool>("promised"); }

// @ts-ignore: decorator
@inline function leastOf(promised: u64): u32 { return <u32>(promised >> 32); }

/**
 * Promises `bytes` for the least rings of a stream. False: there is no memory for one more. One that an application opens,
 * `asked`, leaves some to those that come to it: who answers is often in the same engine.
 */
export function promiseLeast(bytes: u32, asked: bool): bool {
  const p = pool();
  const budget = asked ? p.budget - p.reserve / COMING : p.budget;
  let old: u64;
  do {
    old = atomic.load<u64>(word(p));
    const had = leastOf(old) + <u32>old;
    if (had > budget || bytes > budget - had) return false;
  } while (atomic.cmpxchg<u64>(word(p), old, old + ((bytes as u64) << 32)) != old);
  return true;
}

/** Bytes beyond the least rings that nobody has, when that is promised. */
// @ts-ignore: decorator
@inline function nobodys(p: StreamPool, promised: u64): u32 {
  const most = p.budget - max<u32>(leastOf(promised), p.reserve);
  return most - min<u32>(<u32>promised, most);
}

/** Size of a ring of which `bytes` are wanted, at a time when that is promised. */
function sizeOf(p: StreamPool, promised: u64, bytes: u32): u32 {
  const most = nobodys(p, promised) >> SHARE_SHIFT;
  let size = bytes;
  while (size > LEAST && size - LEAST > most) size >>= 1;
  return size;
}

/** What promiseRing would give for `bytes` now. */
export function promisable(bytes: u32): u32 {
  const p = pool();
  return sizeOf(p, atomic.load<u64>(word(p)), bytes);
}

/** Promises a ring: `bytes` or what there is for it, and no less than the least one, which is promised already. Its size. */
export function promiseRing(bytes: u32): u32 {
  const p = pool();
  let old: u64;
  let size: u32;
  do {
    old = atomic.load<u64>(word(p));
    size = sizeOf(p, old, bytes);
  } while (size > LEAST && atomic.cmpxchg<u64>(word(p), old, old + ((size - LEAST) as u64)) != old);
  return size;
}

/** Promises `bytes` for a ring that is to take the place of a smaller one. */
export function promiseMore(bytes: u32): bool {
  const p = pool();
  let old: u64;
  do {
    old = atomic.load<u64>(word(p));
    const left = nobodys(p, old);
    const kept = (p.budget - p.reserve) >> KEPT_SHIFT;
    if (left < kept || bytes > (left - kept) >> SHARE_SHIFT) return false;
  } while (atomic.cmpxchg<u64>(word(p), old, old + (bytes as u64)) != old);
  return true;
}

/** Takes back what was promised beyond the least ring: of one that is smaller, or that a larger one replaced. */
export function promiseLess(bytes: u32): void { atomic.sub<u64>(word(pool()), bytes); }

/** What the rings of a stream of those sizes are promised, as it stands in the word. */
// @ts-ignore: decorator
@inline export function promiseOf(sndBytes: u32, rcvBytes: u32): u64 { return one(sndBytes) + one(rcvBytes); }

// @ts-ignore: decorator
@inline function one(bytes: u32): u64 { return bytes == 0 ? 0 : ((LEAST as u64) << 32) | (bytes - LEAST); }

/** Takes all back, after the pieces. */
export function promiseNone(promised: u64): void { atomic.sub<u64>(word(pool()), promised); }

/** Begins anew with what records say. */
export function promiseAnew(promised: u64): void { atomic.store<u64>(word(pool()), promised); }
