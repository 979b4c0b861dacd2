// The frame pool: who holds the free frames of the packet area (Bonwick's magazines and depot).
//
//      lane                          depot (FramePool, shared)
//   loaded   ─┐  full / empty   full:  ▣ → ▣ → ▣ → 0      two lock-free stacks of magazines
//   previous ─┘ ◀─────────────▶ empty: ▢ → ▢ → 0          one exchange per 62 frames
//
// Frames are named by their address relative to the packet area. Called by everything that takes or drops a packet.
// Promises: in flight + free = total. A frame is in one magazine, or in one ring, or in the hand of one lane.
import { FRAME_SIZE, FramePool, MAGAZINE_CAPACITY as CAPACITY, Magazine, NO_FRAME } from "../layout.gen";
import { header, self } from "../core/lane";

// @ts-ignore: decorator
@inline function magazineAt(at: u32): Magazine { return changetype<Magazine>(at as usize); }

// @ts-ignore: decorator
@inline function framesOf(m: u32): usize { return (m as usize) + offsetof<Magazine>("frames0"); }

/** Start of the frame that holds address `addr`. */
// @ts-ignore: decorator
@inline export function frameOf(addr: u32): u32 { return addr & ~(FRAME_SIZE - 1); }

/** Pops a magazine from the depot stack whose head is at `head`; 0 when it is empty. */
function depotPop(head: usize): u32 {
  let at: u32;
  do {
    const old = atomic.load<u64>(head);
    at = <u32>old;
    if (at == 0) break;
    // `next` may be stale when another lane takes the magazine meanwhile: then the tag has moved and the exchange fails.
    const next = atomic.load<u32>(at as usize, offsetof<Magazine>("next"));
    if (atomic.cmpxchg<u64>(head, old, (((old >> 32) + 1) << 32) | (next as u64)) == old) break;
  } while (true);
  return at;
}

function depotPush(head: usize, at: u32): void {
  for (;;) {
    const old = atomic.load<u64>(head);
    atomic.store<u32>(at as usize, <u32>old, offsetof<Magazine>("next"));
    if (atomic.cmpxchg<u64>(head, old, (((old >> 32) + 1) << 32) | (at as u64)) == old) return;
  }
}

// @ts-ignore: decorator
@inline function fullHead(): usize { return (header().poolAt as usize) + offsetof<FramePool>("full"); }
// @ts-ignore: decorator
@inline function emptyHead(): usize { return (header().poolAt as usize) + offsetof<FramePool>("empty"); }

/** Makes the loaded magazine one that has frames; false when neither this lane nor the depot has any. */
function loadFull(): bool {
  const ls = self();
  const spare = ls.previous;
  if (magazineAt(spare).count != 0) {
    ls.previous = ls.loaded;
    ls.loaded = spare;
    return true;
  }
  const got = depotPop(fullHead());
  if (got == 0) return false;
  ls.previous = ls.loaded;
  ls.loaded = got;
  depotPush(emptyHead(), spare);
  return true;
}

/**
 * Makes the loaded magazine one that has room. There are magazines for all frames and three more per lane, one of which
 * may be on its way to the depot: it fails only when more frames are given back than there are.
 */
function loadEmpty(): bool {
  const ls = self();
  const spare = ls.previous;
  if (magazineAt(spare).count != CAPACITY) {
    ls.previous = ls.loaded;
    ls.loaded = spare;
    return true;
  }
  const got = depotPop(emptyHead());
  if (got == 0) return false;
  ls.previous = ls.loaded;
  ls.loaded = got;
  depotPush(fullHead(), spare);
  return true;
}

/** Takes one frame; NO_FRAME when there is none. */
// @ts-ignore: decorator
@inline export function allocFrame(): u32 {
  let m = self().loaded;
  if (magazineAt(m).count == 0) {
    if (!loadFull()) return NO_FRAME;
    m = self().loaded;
  }
  const left = magazineAt(m).count - 1;
  magazineAt(m).count = left;
  return load<u32>(framesOf(m) + (left << 2));
}

/**
 * Gives a frame back. Any address inside it names it. A descriptor from outside can name a frame that is free already:
 * the ledger shows it as doubled, and what no magazine has room for is in the pool in any case.
 */
// @ts-ignore: decorator
@inline export function freeFrame(addr: u32): void {
  let m = self().loaded;
  let count = magazineAt(m).count;
  if (count == CAPACITY) {
    if (!loadEmpty()) return;
    m = self().loaded;
    count = magazineAt(m).count;
  }
  store<u32>(framesOf(m) + (count << 2), frameOf(addr));
  magazineAt(m).count = count + 1;
}

/** Host entries of the pool. */
export function frame_alloc(): u32 { return allocFrame(); }
export function frame_free(addr: u32): void { freeFrame(addr); }
