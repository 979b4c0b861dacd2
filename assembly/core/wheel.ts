// The timing wheel of a lane: TimerNodes by the time at which they fall due. O(1) to put in and take out, nothing
// allocated; what falls due comes out in order of time to the ns, then of start. Used by bpf/timers, and by nobody else:
// who may touch a node's links is decided there.
//
//   level 8 … 1   64 slots each; a slot of level n is 64 slots of the level below, turned down when its time has come
//   level 0       64 slots of a tick, 512 ns
//   near          this tick and what is overdue, sorted           prompt   runs at the end of the round, by start
//
// A node stands at the level of the highest digit (base 64) in which its tick differs from the wheel's, so the lowest
// level that holds anything has what comes first, and no slot is ever more than once round. A timer that is put off
// stays where it is (`due` moves, `placedAt` does not) and is put further when it comes up: that costs its own cache line.
import {
  LANE_WHEEL_NEAR, LANE_WHEEL_OCCUPIED, LANE_WHEEL_PROMPT, LANE_WHEEL_SIZE, LaneWheel, TimerKind, TimerNode, WHEEL_SLOTS,
} from "../layout.gen";
import { header } from "./lane";

/** A tick is 2^9 ns: the 500 ns slots of a pacer. */
const TICK_SHIFT: u64 = 9;
const DIGIT: u32 = 6;
const DIGIT_MASK: u32 = 63;
/** Bytes of a wheel: its head, then {next, prev} of every slot. */
const WHEEL_BYTES: u32 = LANE_WHEEL_SIZE + (WHEEL_SLOTS << 3);
const PREV: usize = 4;
/** Nodes of a slot that are looked at for the earliest; in a longer list only the slot's own time is told. */
const LOOKED_AT: u32 = 16;

/** "Never": later than every time. */
export const NEVER: u64 = u64.MAX_VALUE;

// @ts-ignore: decorator
@inline export function wheelOf(index: u32): LaneWheel {
  return changetype<LaneWheel>((header().wheelsAt + index * WHEEL_BYTES) as usize);
}

// @ts-ignore: decorator
@inline function node(at: usize): TimerNode { return changetype<TimerNode>(at); }
// @ts-ignore: decorator
@inline function nextOf(at: usize): usize { return load<u32>(at); }
// @ts-ignore: decorator
@inline function prevOf(at: usize): usize { return load<u32>(at, PREV); }
// @ts-ignore: decorator
@inline function setNext(at: usize, to: usize): void { store<u32>(at, <u32>to); }
// @ts-ignore: decorator
@inline function nearOf(w: LaneWheel): usize { return changetype<usize>(w) + LANE_WHEEL_NEAR; }
// @ts-ignore: decorator
@inline function promptOf(w: LaneWheel): usize { return changetype<usize>(w) + LANE_WHEEL_PROMPT; }
// @ts-ignore: decorator
@inline function slotOf(w: LaneWheel, level: u32, slot: u32): usize {
  return changetype<usize>(w) + LANE_WHEEL_SIZE + (((level << DIGIT) + slot) << 3);
}
// @ts-ignore: decorator
@inline function occupiedAt(w: LaneWheel, level: u32): usize {
  return changetype<usize>(w) + LANE_WHEEL_OCCUPIED + (level << 3);
}

// @ts-ignore: decorator
@inline function clearList(head: usize): void {
  store<u32>(head, <u32>head);
  store<u32>(head, <u32>head, PREV);
}

/** Puts `n` before `at`, a node or a head. */
// @ts-ignore: decorator
@inline function insertBefore(at: usize, n: usize): void {
  const before = prevOf(at);
  store<u32>(n, <u32>at);
  store<u32>(n, <u32>before, PREV);
  setNext(before, n);
  store<u32>(at, <u32>n, PREV);
}

/** An empty wheel. `order` and the counters go on. */
export function resetWheel(w: LaneWheel): void {
  clearList(nearOf(w));
  clearList(promptOf(w));
  for (let i: u32 = 0; i < WHEEL_SLOTS; i++) clearList(slotOf(w, 0, i));
  for (let level: u32 = 0; level < 9; level++) store<u64>(occupiedAt(w, level), 0);
  w.levels = 0;
  w.soonest = NEVER;
  w.linked = 0;
  w.paced = 0;
  w.handNode = 0;
  w.firing = 0;
  atomic.store<u32>(changetype<usize>(w), 0, offsetof<LaneWheel>("inbox"));
}

/** Does `a` come before `b`? */
// @ts-ignore: decorator
@inline function before(a: usize, b: usize): bool {
  const x = node(a);
  const y = node(b);
  return x.placedAt < y.placedAt || (x.placedAt == y.placedAt && <i32>(x.order - y.order) < 0);
}

/** Into the sorted list, from its end: what is started now mostly comes last. */
// @ts-ignore: decorator
@inline function insertNear(w: LaneWheel, n: usize): void {
  const head = nearOf(w);
  let at = prevOf(head);
  while (at != head && before(n, at)) at = prevOf(at);
  insertBefore(nextOf(at), n);
}

/** Puts a node where its `placedAt` says. */
// @ts-ignore: decorator
@inline function place(w: LaneWheel, n: usize): void {
  const tick = node(n).placedAt >> TICK_SHIFT;
  const base = w.base;
  if (tick <= base) {
    insertNear(w, n);
    return;
  }
  const level = <u32>(63 - clz<u64>(tick ^ base)) / DIGIT;
  const slot = <u32>(tick >> (level * DIGIT)) & DIGIT_MASK;
  insertBefore(slotOf(w, level, slot), n);
  const occupied = occupiedAt(w, level);
  store<u64>(occupied, load<u64>(occupied) | (<u64>1 << slot));
  w.levels |= 1 << level;
}

/** The tick at which the first slot begins that may hold anything: `levels` is not 0. */
// @ts-ignore: decorator
@inline function firstTick(w: LaneWheel, level: u32): u64 {
  const slot = ctz<u64>(load<u64>(occupiedAt(w, level)));
  return (((w.base >> ((level + 1) * DIGIT)) << DIGIT) | slot) << (level * DIGIT);
}

/** Puts a node in that is in no list. Its `due`, `order` and `kind` are set. */
export function link(w: LaneWheel, n: TimerNode, nowNs: u64): void {
  const kind: u32 = n.kind;
  n.placedAt = n.due;
  w.linked++;
  if (kind) {
    if (kind & TimerKind.PROMPT) {
      insertBefore(promptOf(w), changetype<usize>(n));
      return;
    }
    w.paced++;
  }
  const due = n.due;
  if (due < w.soonest) w.soonest = due;
  // As long as no slot is passed the wheel can be turned without looking at one: fewer turns are left for this node.
  const tick = nowNs >> TICK_SHIFT;
  if (tick > w.base && (w.levels == 0 || tick < firstTick(w, ctz<u32>(w.levels)))) w.base = tick;
  place(w, changetype<usize>(n));
}

/** Takes a node out of the list that it is in. */
export function unlink(w: LaneWheel, n: TimerNode): void {
  const next: usize = n.next;
  const prev: usize = n.prev;
  setNext(prev, next);
  store<u32>(next, <u32>prev, PREV);
  n.next = 0;
  w.linked--;
  if (n.kind & TimerKind.PACER) w.paced--;
}

/** Sorts a chain of nodes that ends with 0; only `next` is set afterwards. Merges runs of 1, 2, 4 … nodes. */
function sortChain(first: usize): usize {
  let run: u32 = 1;
  while (true) {
    let rest = first;
    let last: usize = 0;
    let merges: u32 = 0;
    first = 0;
    while (rest != 0) {
      merges++;
      let a = rest;
      let b = rest;
      let inA: u32 = 0;
      while (inA < run && b != 0) {
        b = nextOf(b);
        inA++;
      }
      let inB = run;
      while (inA != 0 || (inB != 0 && b != 0)) {
        let taken: usize;
        if (inA == 0 || (inB != 0 && b != 0 && before(b, a))) {
          taken = b;
          b = nextOf(b);
          inB--;
        } else {
          taken = a;
          a = nextOf(a);
          inA--;
        }
        if (last == 0) first = taken;
        else setNext(last, taken);
        last = taken;
      }
      rest = b;
    }
    setNext(last, 0);
    if (merges <= 1) return first;
    run <<= 1;
  }
}

/** Puts a sorted chain into the list of what is near. */
function mergeNear(w: LaneWheel, chain: usize): void {
  const head = nearOf(w);
  const end = prevOf(head);
  let at = end == head || before(end, chain) ? head : nextOf(head);
  while (chain != 0) {
    const rest = nextOf(chain);
    while (at != head && !before(chain, at)) at = nextOf(at);
    insertBefore(at, chain);
    chain = rest;
  }
}

/** Empties a slot whose time has come: into lower levels, or what is near. Timers that were put off find their place. */
function turnDown(w: LaneWheel, slot: usize): void {
  let n = nextOf(slot);
  let chain: usize = 0;
  let last: usize = 0;
  let sorted = true;
  clearList(slot);
  while (n != slot) {
    const rest = nextOf(n);
    const x = node(n);
    x.placedAt = x.due;
    if (x.due >> TICK_SHIFT > w.base) place(w, n);
    else {
      if (last == 0) chain = n;
      else {
        if (before(n, last)) sorted = false;
        setNext(last, n);
      }
      last = n;
    }
    n = rest;
  }
  if (last == 0) return;
  setNext(last, 0);
  mergeNear(w, sorted ? chain : sortChain(chain));
}

/** Turns the wheel to `nowNs`: afterwards everything that is due is near. */
export function turn(w: LaneWheel, nowNs: u64): void {
  const now = nowNs >> TICK_SHIFT;
  while (w.levels != 0) {
    const level = ctz<u32>(w.levels);
    const tick = firstTick(w, level);
    if (tick > now) break;
    const occupied = occupiedAt(w, level);
    const bits = load<u64>(occupied);
    const slot = slotOf(w, level, <u32>ctz<u64>(bits));
    store<u64>(occupied, bits & (bits - 1));
    if ((bits & (bits - 1)) == 0) w.levels &= ~(1 << level);
    if (nextOf(slot) == slot) continue;
    w.base = tick;
    turnDown(w, slot);
  }
  if (w.base < now) w.base = now;
}

/** The first of what is near, if its time has come; null otherwise. */
// @ts-ignore: decorator
@inline export function firstDue(w: LaneWheel, nowNs: u64): TimerNode {
  const head = nearOf(w);
  const n = nextOf(head);
  return changetype<TimerNode>(n != head && node(n).placedAt <= nowNs ? n : <usize>0);
}

/** The first of those that run at the end of the round; null without. */
// @ts-ignore: decorator
@inline export function firstPrompt(w: LaneWheel): TimerNode {
  const head = promptOf(w);
  const n = nextOf(head);
  return changetype<TimerNode>(n == head ? <usize>0 : n);
}

/**
 * When the next timer falls due: exactly, but for crowded slots and timers put off, of which the time is told at which
 * the wheel must be turned to know more. NEVER without timers. What runs at the end of a round has no time.
 */
export function nextTime(w: LaneWheel): u64 {
  const head = nearOf(w);
  let due = nextOf(head) == head ? NEVER : node(nextOf(head)).placedAt;
  while (w.levels != 0) {
    const level = ctz<u32>(w.levels);
    const occupied = occupiedAt(w, level);
    const bits = load<u64>(occupied);
    const slot = slotOf(w, level, <u32>ctz<u64>(bits));
    if (nextOf(slot) == slot) {
      store<u64>(occupied, bits & (bits - 1));
      if ((bits & (bits - 1)) == 0) w.levels &= ~(1 << level);
      continue;
    }
    const start = firstTick(w, level) << TICK_SHIFT;
    if (start >= due) return due;
    let found = start + (<u64>1 << (TICK_SHIFT + <u64>(level * DIGIT)));
    let left = LOOKED_AT;
    let n = nextOf(slot);
    for (; n != slot && left != 0; left--) {
      if (node(n).due < found) found = node(n).due;
      n = nextOf(n);
    }
    if (n != slot) found = start;
    return found < due ? found : due;
  }
  return due;
}
