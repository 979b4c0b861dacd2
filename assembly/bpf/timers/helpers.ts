// bpf_timer_init, _set_callback, _start and _cancel, with the kernel's results (kernel/bpf/helpers.c). A struct bpf_timer
// holds the address of its node, which was laid out with the map; 0 = not initialised.
import { LaneWheel, MapHeader, MapType, TimerKind, TimerNode } from "../../layout.gen";
import { nowNs } from "../../core/clock";
import { lane, self } from "../../core/lane";
import { awaitChange } from "../maps/lock";
import { Errno, head } from "../maps/map";
import { firerOf, ownWheel, RUNNING, startNode, stopNode, wordOf } from "./own";

const CLOCK_REALTIME: u64 = 0;
const CLOCK_MONOTONIC: u64 = 1;
const CLOCK_BOOTTIME: u64 = 7;

const BPF_F_TIMER_ABS: u64 = 1 << 0;
const BPF_F_TIMER_CPU_PIN: u64 = 1 << 1;
// Of this engine, beyond the kernel's: eTran's kinds.
const BPF_F_TIMER_NET_TX: u64 = 1 << 32;
const BPF_F_TIMER_IMMEDIATE: u64 = 1 << 33;
const BPF_F_TIMER_PACER: u64 = 1 << 34;
const BPF_F_TIMER_PACER_WAKEUP: u64 = 1 << 35;
const KNOWN: u64 = BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN | BPF_F_TIMER_NET_TX | BPF_F_TIMER_IMMEDIATE
  | BPF_F_TIMER_PACER | BPF_F_TIMER_PACER_WAKEUP;

/** KTIME_MAX: a time that does not come. */
const LATEST: u64 = i64.MAX_VALUE;

const SLOT: usize = offsetof<TimerNode>("slot");
const HELD: usize = offsetof<MapHeader>("held");
const CANCELLING: usize = offsetof<TimerNode>("cancelling");
const WORD: usize = offsetof<TimerNode>("word");

// @ts-ignore: decorator
@inline function nodeOf(timer: usize): TimerNode { return changetype<TimerNode>(atomic.load<u32>(timer) as usize); }
// @ts-ignore: decorator
@inline function slotOf(n: TimerNode): u32 { return atomic.load<u32>(changetype<usize>(n), SLOT); }

/** The node that was laid out for the element around `timer`. */
function nodeFor(map: usize, timer: usize): TimerNode {
  const h = head(map);
  const before = h.valueTimer - 1 + (h.type == MapType.ARRAY ? 0 : h.aux3);
  return changetype<TimerNode>((h.timersAt + ((<u32>timer - before - h.dataAt) / h.stride << 6)) as usize);
}

export function timer_init(timer: usize, map: usize, flags: u64): i32 {
  if (flags != CLOCK_MONOTONIC && flags != CLOCK_REALTIME && flags != CLOCK_BOOTTIME) return -Errno.EINVAL;
  if (changetype<usize>(nodeOf(timer)) != 0) return -Errno.EBUSY;
  const n = nodeFor(map, timer);
  // Maps with timers must be held by user space: else nobody would ever end them.
  if (!atomic.load<u32>(map, HELD)) return -Errno.EPERM;
  if (atomic.cmpxchg<u32>(timer, 0, <u32>changetype<usize>(n)) != 0) return -Errno.EBUSY;
  n.clock = <u8>flags;
  if (atomic.load<u32>(map, HELD)) return 0;
  timer_free(timer);
  return -Errno.EPERM;
}

export function timer_set_callback(timer: usize, slot: u32): i32 {
  const n = nodeOf(timer);
  const at = changetype<usize>(n);
  if (at == 0) return -Errno.EINVAL;
  if (!atomic.load<u32>(n.mapAt, HELD)) return -Errno.EPERM;
  // Set again and again as programs do: a store that all must see costs more than a look.
  if (slotOf(n) == slot) return 0;
  atomic.store<u32>(at, slot, SLOT);
  if (changetype<usize>(nodeOf(timer)) != 0) return 0;
  // Another lane has freed it meanwhile.
  atomic.store<u32>(at, 0, SLOT);
  return -Errno.EINVAL;
}

/** What BPF_F_TIMER_ABS means by `ns`, on the lane clock. */
function absolute(n: TimerNode, ns: u64): u64 {
  let due = <i64>ns;
  // hrtimer_set_expires_range_ns adds its slack with ktime_add_safe: what is negative never comes.
  if (due < 0) return LATEST;
  // CLOCK_REALTIME is ahead of the lane clock by what bpf_ktime_get_tai_ns adds, too.
  if (n.clock == <u8>CLOCK_REALTIME) due -= <i64>self().taiOffsetNs;
  return due < 0 ? 0 : <u64>due;
}

export function timer_start(timer: usize, ns: u64, flags: u64): i32 {
  if (flags & ~KNOWN) return -Errno.EINVAL;
  const n = nodeOf(timer);
  if (changetype<usize>(n) == 0 || slotOf(n) == 0) return -Errno.EINVAL;
  let kind: u32 = 0;
  let due: u64;
  if (flags & BPF_F_TIMER_IMMEDIATE) {
    kind = TimerKind.PROMPT;
    due = nowNs;
  } else {
    if (flags & BPF_F_TIMER_PACER) kind = TimerKind.PACER;
    if (flags & BPF_F_TIMER_ABS) due = absolute(n, ns);
    else {
      due = nowNs + ns;
      if (<i64>ns < 0 || due > LATEST) due = LATEST;
    }
  }
  startNode(n, due, kind);
  // Cancelled or freed by another lane meanwhile: before it was armed, or after, when that lane has stopped it, too.
  return slotOf(n) == 0 && stopNode(n) ? -Errno.EINVAL : 0;
}

/** Waits for a callback that another lane runs. False when that could last for ever: two callbacks wait for one another. */
function awaitCallback(w: LaneWheel, n: TimerNode): bool {
  const running = wordOf(n) & RUNNING;
  const firer = firerOf(running);
  if (running == 0 || firer == lane + 1) return true;
  const at = changetype<usize>(n);
  // Only callbacks can be waited for while they wait.
  const inCallback = w.firing != 0;
  let free = true;
  if (inCallback) {
    atomic.add<u8>(at, 1, CANCELLING);
    free = atomic.load<u8>(w.firing as usize, CANCELLING) == 0;
  }
  if (free) awaitChange(at + WORD, RUNNING, running, firer - 1);
  if (inCallback) atomic.sub<u8>(at, 1, CANCELLING);
  return free;
}

export function timer_cancel(timer: usize): i32 {
  const n = nodeOf(timer);
  const at = changetype<usize>(n);
  if (at == 0) return -Errno.EINVAL;
  const w = ownWheel();
  if (w.firing == <u32>at) return -Errno.EDEADLK;
  let armed = stopNode(n);
  // The kernel drops the callback with its program: it must be set again before the next start.
  atomic.store<u32>(at, 0, SLOT);
  // Another lane has started it in between.
  if (stopNode(n)) armed = true;
  if (!awaitCallback(w, n)) return -Errno.EDEADLK;
  return armed ? 1 : 0;
}

/**
 * bpf_timer_cancel_and_free: the timer at `timer` is no more. Called when its element is deleted or written over, and by
 * the host when it gives the map up. A callback that runs is waited for, but by another callback.
 */
export function timer_free(timer: usize): void {
  const n = changetype<TimerNode>(atomic.xchg<u32>(timer, 0) as usize);
  const at = changetype<usize>(n);
  if (at == 0) return;
  atomic.store<u32>(at, 0, SLOT);
  stopNode(n);
  const w = ownWheel();
  if (w.firing == 0) awaitCallback(w, n);
}

/** Frees the timer in a value of `map`, whose element is deleted or written over, if its values have one. */
// @ts-ignore: decorator
@inline export function freeTimerIn(map: usize, value: usize): void {
  const at = head(map).valueTimer;
  if (at) timer_free(value + at - 1);
}
