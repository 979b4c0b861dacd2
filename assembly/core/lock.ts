// Locks on one u32 of the arena: bpf_spin_lock, locks of maps and of their buckets, that of stream memory.
//
//   word: 0 = free, else │ lives of the holder's lane : 24 │ lane + 1 : 8 │
//
// A holder is some tens of ns in its section. If it was descheduled meanwhile, a waiter sleeps instead of
// burning the core that the holder needs: atomic.wait with a short time-out, because holders never notify
// (a notify costs 31 ns even when nobody waits, facts/wasm-and-afxdp §5).
//
// However long it waits, a waiter takes over from a dead holder only: one whose lane has crashed or was replaced since
// (LaneState.lives). It does so by exchanging the very word that it judged, so that one of several waiters wins. What
// the section left half done is its owner's to think of.
import { LANE_STATE_SIZE, LanePhase, LaneState } from "../layout.gen";
import { header, lane, self } from "./lane";

/** Looks at a word before a waiter sleeps between them: some 10 µs. */
const SPINS: u32 = 2000;
/** Sleep of a waiter, ns. */
const NAP_NS: i64 = 50_000;
/** Naps (2 s and more) after which a thread that the host has ended is surely gone, though nobody has reported it. */
const NAPS_GONE: u32 = 40_000;

const HOLDER_BITS: u32 = 8;

/** What this lane writes into the locks that it holds. */
// @ts-ignore: decorator
@inline function ownWord(): u32 { return (self().lives << HOLDER_BITS) | (lane + 1); }

/** Whether nobody can be in the section any more that the lock word `v`, seen for `naps` naps, stands for. */
function isDead(v: u32, naps: u32): bool {
  const holder = (v & ((1 << HOLDER_BITS) - 1)) - 1;
  const lanes = header().laneCount;
  // The host's instance never dies; beyond it there is nobody.
  if (holder >= lanes) return holder > lanes;
  const at = (header().lanesAt + holder * LANE_STATE_SIZE) as usize;
  if (((atomic.load<u32>(at, offsetof<LaneState>("lives")) << HOLDER_BITS) | (holder + 1)) != v) return true;
  return isGone(holder, naps);
}

/** Whether lane `index`, waited for since `naps` naps, does nothing any more until it is recovered. */
function isGone(index: u32, naps: u32): bool {
  const at = (header().lanesAt + index * LANE_STATE_SIZE) as usize;
  if (atomic.load<u32>(at, offsetof<LaneState>("phase")) == LanePhase.CRASHED) return true;
  // The host, waiting here itself, cannot hear that the thread has gone.
  return naps > NAPS_GONE && atomic.load<u32>(at, offsetof<LaneState>("ended")) != 0;
}

/** Waits for a lock that was not free. */
function contend(word: usize, own: u32): void {
  let seen: u32 = 0;
  let looks: u32 = 0;
  while (true) {
    const v = atomic.load<u32>(word);
    if (v == 0) {
      if (atomic.cmpxchg<u32>(word, 0, own) == 0) return;
      continue;
    }
    // A run of this very instance trapped inside its section.
    if (v == own) return;
    if (v != seen) {
      seen = v;
      looks = 0;
    }
    if (++looks <= SPINS) continue;
    if (isDead(v, looks - SPINS)) {
      if (atomic.cmpxchg<u32>(word, v, own) == v) return;
    } else atomic.wait<i32>(word, <i32>v, NAP_NS);
  }
}

/** Waits until the word at `at`, masked, is another than `v`, which lane `index` will change. False: that lane is gone. */
export function awaitChange(at: usize, mask: u32, v: u32, index: u32): bool {
  const lives = offsetof<LaneState>("lives");
  const laneAt = (header().lanesAt + index * LANE_STATE_SIZE) as usize;
  const life = atomic.load<u32>(laneAt, lives);
  let looks: u32 = 0;
  while (true) {
    const now = atomic.load<u32>(at);
    if ((now & mask) != v) return true;
    if (++looks <= SPINS) continue;
    // The host's instance never dies.
    if (index < header().laneCount && (atomic.load<u32>(laneAt, lives) != life || isGone(index, looks - SPINS))) return false;
    atomic.wait<i32>(at, <i32>now, NAP_NS);
  }
}

/** Takes a lock word, 4-byte aligned. Returns only with the lock. */
export function spinLock(word: usize): void {
  const own = ownWord();
  if (atomic.cmpxchg<u32>(word, 0, own) != 0) contend(word, own);
}

// @ts-ignore: decorator
@inline export function spinUnlock(word: usize): void {
  atomic.store<u32>(word, 0);
}
