// Callbacks of timers: called between bursts by the loop, and by the host for its own instance. Exactly one lane calls the
// callback for a start: the one that turns the node's word from armed to firing.
import { LaneWheel, MapType, TimerKind, TimerNode } from "../../layout.gen";
import { nowNs } from "../../core/clock";
import { header, lane } from "../../core/lane";
import { clearRedirect } from "../../core/redirect";
import { firstDue, firstPrompt, link, nextTime, turn, unlink } from "../../core/wheel";
import { firingHere, hasMail, mine, ownWheel, RUNNING, swapWord, takeInbox, wordOf } from "./own";
import { ELEM_KEY } from "../maps/hash_table";
import { head } from "../maps/map";

/** Callbacks in one round: packets are not kept waiting by more. The others run in the next. */
const MOST_IN_A_ROUND: u32 = 256;
/** While a pacer falls due within this the lane makes one round per clock reading, ns. */
const PACED_NS: u64 = 20_000;
/** Table slots from here on are callbacks of the interpreter, which only the host's instance has. */
const HOST_SLOTS: u32 = 0x8000;

/** The callback is over, wherever the timer is by now. */
function rest(n: TimerNode): void {
  while (true) {
    const word = wordOf(n);
    if (swapWord(n, word, word & ~RUNNING)) return;
  }
}

/** Calls callback(map, key, value). */
// @ts-ignore: decorator
@inline function call(w: LaneWheel, n: TimerNode): void {
  const slot = atomic.load<u32>(changetype<usize>(n), offsetof<TimerNode>("slot"));
  if (slot == 0 || (slot >= HOST_SLOTS && lane != header().laneCount)) return;
  const map: usize = n.mapAt;
  const value: usize = n.valueAt;
  const h = head(map);
  let key: usize;
  if (h.type == MapType.ARRAY) {
    w.key = (<u32>changetype<usize>(n) - h.timersAt) >> 6;
    key = changetype<usize>(w) + offsetof<LaneWheel>("key");
  } else key = value - h.aux3 + ELEM_KEY;
  call_indirect<u64>(slot, <u64>map, <u64>key, <u64>value, <u64>0, <u64>0);
  w.fired++;
}

/** Fires a node whose time has come. 1 when it was ours to fire. */
function fire(w: LaneWheel, n: TimerNode): u32 {
  unlink(w, n);
  if (swapWord(n, mine(), firingHere())) {
    w.firing = <u32>changetype<usize>(n);
    call(w, n);
    w.firing = 0;
    rest(n);
    return 1;
  }
  // Its callback for an earlier start still runs in another lane: at the next look. Otherwise another lane has taken it.
  const word = wordOf(n);
  if ((word & ~RUNNING) == mine()) {
    n.due = nowNs + 1;
    n.kind &= <u8>TimerKind.PACER;
    link(w, n, nowNs);
  }
  return 0;
}

/** Runs what is due, oldest first, then what was to run at the end of this round. Returns callbacks run. */
export function timers_run(): u32 {
  const w = ownWheel();
  // A callback that trapped, in an instance that went on: its start is spent.
  if (w.firing != 0) {
    rest(changetype<TimerNode>(w.firing as usize));
    w.firing = 0;
  }
  if (hasMail(w)) takeInbox(w);
  const now = nowNs;
  let fired: u32 = 0;
  if (now >= w.soonest) {
    turn(w, now);
    for (let left = MOST_IN_A_ROUND; left != 0; left--) {
      const n = firstDue(w, now);
      if (changetype<usize>(n) == 0) break;
      if (n.due > n.placedAt) {
        unlink(w, n);
        link(w, n, now);
      } else fired += fire(w, n);
    }
    w.soonest = nextTime(w);
  }
  // What these start in turn runs at the end of the next round.
  const last = w.order;
  for (let left = MOST_IN_A_ROUND; left != 0; left--) {
    const n = firstPrompt(w);
    if (changetype<usize>(n) == 0 || <i32>(n.order - last) > 0) break;
    fired += fire(w, n);
  }
  // Nothing of a packet is left to the next one.
  if (fired != 0) clearRedirect();
  return fired;
}

/** Whether timers_run has anything to do. */
// @ts-ignore: decorator
@inline export function timersWait(): bool {
  const w = ownWheel();
  return nowNs >= w.soonest || hasMail(w) || changetype<usize>(firstPrompt(w)) != 0;
}

/** Whether a pacer may fall due so soon that the clock must be read before the next round. */
// @ts-ignore: decorator
@inline export function pacing(): bool {
  const w = ownWheel();
  return w.paced != 0 && w.soonest - nowNs < PACED_NS;
}

/** When timers_run has something to do next, ns; 0: now; the largest u64: not of itself. */
export function timers_next_due(): u64 {
  const w = ownWheel();
  return hasMail(w) || changetype<usize>(firstPrompt(w)) != 0 ? 0 : w.soonest;
}
