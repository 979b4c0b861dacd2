// The one ring of the engine: AF_XDP's (linux/if_xdp.h). Single producer, single consumer, cursors run freely over u32.
//
//    ring memory (shared)                          Ring, one per side (private to its owner)
//   ┌───────────────┬──────────────┬─────────┐    producer side            consumer side
//   │ producer word │ consumer word│ entries │    cachedProducer: staged   cachedProducer: last seen
//   │ own line      │ own line     │ 2^n     │    cachedConsumer: last seen cachedConsumer: next to read
//   └───────────────┴──────────────┴─────────┘    submitted: published
//
// Called by the loop, links, replay and the host's end. Where the words lie is read from the view, because the rings
// of the kernel are mapped into the arena with offsets of its choosing. Verbs promise: never block, never allocate.
import { DESC_LEN, DESC_OPTIONS, LANE_STATE_SIZE, LaneState, Ring } from "../layout.gen";
import { header, self } from "../core/lane";

/** LaneState.sleeping of a lane that waits in poll(2). */
const IN_POLL: u32 = 2;
const OWED_WAKES: usize = offsetof<LaneState>("owedWakes0");

// @ts-ignore: decorator
@inline export function ringAt(at: u32): Ring { return changetype<Ring>(at as usize); }

// ── producer ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Free entries, up to `n`. The consumer word, a line that the other side writes, is read only when the cached one falls short. */
// @ts-ignore: decorator
@inline export function reserve(r: Ring, n: u32): u32 {
  let room = r.slots - (r.cachedProducer - r.cachedConsumer);
  if (room < n) {
    r.cachedConsumer = atomic.load<u32>(r.consumerAt as usize);
    room = r.slots - (r.cachedProducer - r.cachedConsumer);
  }
  return room < n ? room : n;
}

/** Stages one descriptor; false when the ring is full. Nobody sees it before `submit`. */
// @ts-ignore: decorator
@inline export function push(r: Ring, addr: u32, len: u32, options: u32): bool {
  const at = r.cachedProducer;
  if (at - r.cachedConsumer >= r.slots) {
    r.cachedConsumer = atomic.load<u32>(r.consumerAt as usize);
    if (at - r.cachedConsumer >= r.slots) return false;
  }
  const d = (r.entriesAt + ((at & r.mask) << 4)) as usize;
  store<u64>(d, addr as u64);
  store<u64>(d, (len as u64) | ((options as u64) << 32), DESC_LEN);
  r.cachedProducer = at + 1;
  return true;
}

/** Entries staged and not yet submitted. */
// @ts-ignore: decorator
@inline export function staged(r: Ring): u32 { return r.cachedProducer - r.submitted; }

/** Publishes what was staged and wakes the consumer if it sleeps. */
export function submit(r: Ring): void {
  const to = r.cachedProducer;
  if (to == r.submitted) return;
  r.submitted = to;
  atomic.store<u32>(r.producerAt as usize, to);
  const wake = r.wakeLane;
  if (wake != 0) wakeLane(wake - 1);
}

/**
 * The same where the consumer is this thread, too: nobody sleeps, and nothing is ordered for anybody. An atomic store waits
 * for every store before it, also for those to lines that another core has.
 */
// @ts-ignore: decorator
@inline export function submitOwn(r: Ring): void {
  const to = r.cachedProducer;
  r.submitted = to;
  store<u32>(r.producerAt as usize, to);
}

/**
 * Notifies lane `index` if it sleeps: a notify that nobody waits for costs 31 ns, a look at the flag 1. A lane that
 * sleeps in poll(2) can be woken by a system call only: noted for this lane's JavaScript, which pays after the step.
 */
export function wakeLane(index: u32): void {
  const at = (header().lanesAt + index * LANE_STATE_SIZE) as usize;
  const sleeping = atomic.load<u32>(at, offsetof<LaneState>("sleeping"));
  if (sleeping == 0) return;
  if (sleeping == IN_POLL) {
    const word = changetype<usize>(self()) + ((index >> 5) << 2);
    store<u32>(word, load<u32>(word, OWED_WAKES) | (1 << (index & 31)), OWED_WAKES);
    return;
  }
  atomic.add<u32>(at, 1, offsetof<LaneState>("wake"));
  atomic.notify(at + offsetof<LaneState>("wake"), 1);
}

// ── consumer ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Entries that can be read, up to `n`. */
// @ts-ignore: decorator
@inline export function peek(r: Ring, n: u32): u32 {
  let have = r.cachedProducer - r.cachedConsumer;
  if (have < n) {
    r.cachedProducer = atomic.load<u32>(r.producerAt as usize);
    have = r.cachedProducer - r.cachedConsumer;
  }
  return have < n ? have : n;
}

/** Whether there is anything to read; for a look that takes nothing. */
// @ts-ignore: decorator
@inline export function unread(r: Ring): bool {
  return r.slots != 0 && atomic.load<u32>(r.producerAt as usize) != r.cachedConsumer;
}

/** Address of the k-th readable descriptor. */
// @ts-ignore: decorator
@inline export function entry(r: Ring, k: u32): usize {
  return (r.entriesAt + (((r.cachedConsumer + k) & r.mask) << 4)) as usize;
}

/** Gives `n` entries back to the producer. */
// @ts-ignore: decorator
@inline export function release(r: Ring, n: u32): void {
  const to = r.cachedConsumer + n;
  r.cachedConsumer = to;
  atomic.store<u32>(r.consumerAt as usize, to);
}

/** The same where the producer is this thread, too. */
// @ts-ignore: decorator
@inline export function releaseOwn(r: Ring, n: u32): void {
  const to = r.cachedConsumer + n;
  r.cachedConsumer = to;
  store<u32>(r.consumerAt as usize, to);
}

// @ts-ignore: decorator
@inline export function descAddr(d: usize): u32 { return load<u32>(d); }
// @ts-ignore: decorator
@inline export function descLen(d: usize): u32 { return load<u32>(d, DESC_LEN); }
// @ts-ignore: decorator
@inline export function descOptions(d: usize): u32 { return load<u32>(d, DESC_OPTIONS); }

// ── rings of 8-byte entries: the kernel's fill and completion rings ───────────────────────────────────────────────

/** Stages the address of a frame; there must be room (`reserve`). */
// @ts-ignore: decorator
@inline export function pushAddress(r: Ring, addr: u32): void {
  const at = r.cachedProducer;
  store<u64>((r.entriesAt + ((at & r.mask) << 3)) as usize, addr as u64);
  r.cachedProducer = at + 1;
}

/** The k-th readable address. */
// @ts-ignore: decorator
@inline export function addressEntry(r: Ring, k: u32): u32 {
  return load<u32>((r.entriesAt + (((r.cachedConsumer + k) & r.mask) << 3)) as usize);
}

// ── either side ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Entries published and not yet released. */
// @ts-ignore: decorator
@inline export function pending(r: Ring): u32 {
  return atomic.load<u32>(r.producerAt as usize) - atomic.load<u32>(r.consumerAt as usize);
}

// @ts-ignore: decorator
@inline export function empty(r: Ring): bool { return pending(r) == 0; }
// @ts-ignore: decorator
@inline export function full(r: Ring): bool { return pending(r) == r.slots; }
