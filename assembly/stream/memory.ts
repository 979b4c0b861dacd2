// Rings of streams: pieces of stream memory in 14 size classes, a few of each kept by the lane that used them last.
//
//   ring wanted ─▶ cache of this lane ─▶ pool (buddy.ts, under a lock)
//   stream gone ─▶ cache of this lane ─▶ pool, half of the cache with it when that is full
//
// Called when a ring is first used and when its stream is gone: never per packet. Promises: no wait for a lane that is
// at work on something else than these lists; a lane that dies in them is mended by recover.ts.
import { spinLock, spinUnlock } from "../core/lock";
import { STREAM_BLOCK, STREAM_CACHE, STREAM_CLASSES, StreamLane, StreamPool } from "../layout.gen";
import { buddyGive, buddyTake } from "./buddy";
import { mine, pool } from "./record";

const CACHED: usize = offsetof<StreamLane>("cached0");
const BLOCKS: usize = offsetof<StreamLane>("blocks0");
const LANE_BLOCKS: usize = offsetof<StreamPool>("laneBlocks0");

/** Smallest class that holds `bytes`; STREAM_CLASSES when none does. */
export function classOf(bytes: u32): u32 {
  let c: u32 = 0;
  while (c < STREAM_CLASSES && (STREAM_BLOCK << c) < bytes) c++;
  return c;
}

// @ts-ignore: decorator
@inline function countAt(sl: StreamLane, c: u32): usize { return changetype<usize>(sl) + (c << 2); }

// @ts-ignore: decorator
@inline function placeAt(sl: StreamLane, c: u32, k: u32): usize {
  return changetype<usize>(sl) + ((c * STREAM_CACHE + k) << 2);
}

/** Most pieces of class `c` that a lane keeps. */
// @ts-ignore: decorator
@inline function capacity(p: StreamPool, c: u32): u32 { return load<u32>(changetype<usize>(p) + (c << 2), LANE_BLOCKS); }

/** Locks the lists; false when a lane died inside of them and nobody has mended them yet. */
function enter(p: StreamPool): bool {
  spinLock(changetype<usize>(p) + offsetof<StreamPool>("lock"));
  if (p.dirty != 0) {
    spinUnlock(changetype<usize>(p) + offsetof<StreamPool>("lock"));
    return false;
  }
  p.dirty = 1;
  return true;
}

// @ts-ignore: decorator
@inline function leave(p: StreamPool): void {
  p.dirty = 0;
  spinUnlock(changetype<usize>(p) + offsetof<StreamPool>("lock"));
}

// @ts-ignore: decorator
@inline function giveAt(p: StreamPool, at: u32, c: u32): void { buddyGive(p, (at - p.memoryAt) / STREAM_BLOCK, c); }

/** Moves pieces of class `c` from the cache to the pool until `keep` are left. Under the lock. */
function spill(p: StreamPool, sl: StreamLane, c: u32, keep: u32): void {
  for (let n = load<u32>(countAt(sl, c), CACHED); n > keep; ) {
    n--;
    const at = load<u32>(placeAt(sl, c, n), BLOCKS);
    store<u32>(countAt(sl, c), n, CACHED);
    giveAt(p, at, c);
  }
}

/** Fills the empty cache of class `c`. Returns pieces got; what this lane keeps of other classes is given up for them. */
function refill(p: StreamPool, sl: StreamLane, c: u32): u32 {
  if (!enter(p)) return 0;
  let n = take(p, sl, c);
  if (n == 0) {
    for (let k: u32 = 0; k < STREAM_CLASSES; k++) spill(p, sl, k, 0);
    n = take(p, sl, c);
  }
  leave(p);
  return n;
}

function take(p: StreamPool, sl: StreamLane, c: u32): u32 {
  const half = capacity(p, c) >> 1;
  let n: u32 = 0;
  do {
    const block = buddyTake(p, c);
    if (block == 0) break;
    store<u32>(placeAt(sl, c, n), p.memoryAt + (block - 1) * STREAM_BLOCK, BLOCKS);
    n++;
  } while (n < half);
  store<u32>(countAt(sl, c), n, CACHED);
  return n;
}

/** Takes a piece of `bytes` bytes, the size of a class. Its address, 0 when there is none. */
export function takePiece(bytes: u32): u32 {
  const p = pool();
  const sl = mine();
  const c = classOf(bytes);
  let n = load<u32>(countAt(sl, c), CACHED);
  if (n == 0) n = refill(p, sl, c);
  if (n == 0) return 0;
  n--;
  store<u32>(countAt(sl, c), n, CACHED);
  return load<u32>(placeAt(sl, c, n), BLOCKS);
}

/** Gives back what takePiece gave. */
export function givePiece(at: u32, bytes: u32): void {
  const p = pool();
  const sl = mine();
  const c = classOf(bytes);
  const n = load<u32>(countAt(sl, c), CACHED);
  const hungry = atomic.load<u32>(changetype<usize>(p), offsetof<StreamPool>("hungry")) != 0;
  const most: u32 = hungry ? 0 : capacity(p, c);
  if (n < most) {
    store<u32>(placeAt(sl, c, n), at, BLOCKS);
    store<u32>(countAt(sl, c), n + 1, CACHED);
  } else if (enter(p)) {
    spill(p, sl, c, most >> 1);
    giveAt(p, at, c);
    leave(p);
  }
  // Otherwise the lists wait for recovery, which finds the piece in no record.
  atomic.add<u32>(changetype<usize>(p), 1, offsetof<StreamPool>("returns"));
}
