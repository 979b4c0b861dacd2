// Who has a timer. Every node has a word: is it armed, whose is it (owner), in whose wheel are its links (place), is its
// callback running and where (firer). A lane's own timers cost one compare-and-swap to start or stop, none to put off;
// what another lane has is taken from it by the word at once, and its links follow by the lanes' inboxes.
//
//   word   │ firer : 8 │ place : 8 │ owner : 8 │ QUEUED FIRING ARMED │     lanes + 1, 0 = nobody
//
//   nobody's      0                   anybody may take it
//   ours          ARMED own = place   we change `due`, order, kind and links as we like
//   taken         ARMED own ≠ place, QUEUED: in the inbox of its place, which unlinks it and passes it on to its owner;
//                 `nextDue` holds until it has arrived
//   let go        QUEUED alone: in the inbox of its place, which unlinks it
//
// Only the lane of its place touches links, `placedAt`, `due`, `order` and `kind`. Words change by compare-and-swap; lanes that
// do not have the links change them under the node's lock, which nobody takes for timers of his own.
import { LaneWheel, TimerKind, TimerNode, TimerState } from "../../layout.gen";
import { nowNs } from "../../core/clock";
import { header, lane, laneWheel } from "../../core/lane";
import { link, unlink, wheelOf } from "../../core/wheel";
import { spinLock, spinUnlock } from "../maps/lock";
import { wakeLane } from "../../mem/ring";

const OWNER: u32 = 8;
const PLACE: u32 = 16;
const FIRER: u32 = 24;
const LANE_MASK: u32 = 0xff;
/** What says that the callback runs, and where. */
export const RUNNING: u32 = TimerState.FIRING | (LANE_MASK << FIRER);

const WORD: usize = offsetof<TimerNode>("word");
const LOCK: usize = offsetof<TimerNode>("lock");
const INBOX: usize = offsetof<LaneWheel>("inbox");

// @ts-ignore: decorator
@inline function me(): u32 { return lane + 1; }
// @ts-ignore: decorator
@inline export function mine(): u32 { return TimerState.ARMED | (me() << OWNER) | (me() << PLACE); }
// @ts-ignore: decorator
@inline export function firingHere(): u32 { return TimerState.FIRING | (me() << FIRER); }
// @ts-ignore: decorator
@inline export function ownWheel(): LaneWheel { return changetype<LaneWheel>(laneWheel); }
// @ts-ignore: decorator
@inline export function wordOf(n: TimerNode): u32 { return atomic.load<u32>(changetype<usize>(n), WORD); }
// @ts-ignore: decorator
@inline export function swapWord(n: TimerNode, from: u32, to: u32): bool {
  return atomic.cmpxchg<u32>(changetype<usize>(n), from, to, WORD) == from;
}
// @ts-ignore: decorator
@inline export function placeOf(word: u32): u32 { return (word >> PLACE) & LANE_MASK; }
// @ts-ignore: decorator
@inline export function ownerOf(word: u32): u32 { return (word >> OWNER) & LANE_MASK; }
// @ts-ignore: decorator
@inline export function firerOf(word: u32): u32 { return word >> FIRER; }

/** Puts a node in the inbox of a lane, which is woken if it sleeps. The host looks by itself. */
function bring(to: u32, n: TimerNode): void {
  const inbox = changetype<usize>(wheelOf(to - 1)) + INBOX;
  while (true) {
    const first = atomic.load<u32>(inbox);
    n.queueNext = first;
    if (atomic.cmpxchg<u32>(inbox, first, <u32>changetype<usize>(n)) == first) break;
  }
  if (to <= header().laneCount) wakeLane(to - 1);
}

/** Sets what a start says and links the node, whose links are free and ours. */
// @ts-ignore: decorator
@inline function arm(w: LaneWheel, n: TimerNode, due: u64, kind: u32): void {
  n.due = due;
  n.order = ++w.order;
  n.kind = <u8>kind;
  link(w, n, nowNs);
}

/** Names the node whose word is about to be ours, while `due` is not in it yet: recovery takes it from here. */
// @ts-ignore: decorator
@inline function takeInHand(w: LaneWheel, n: TimerNode, due: u64): void {
  w.handDue = due;
  w.handNode = <u32>changetype<usize>(n);
}

/** Our own armed timer fires at another time. Later: that is all that is said, and the wheel finds out in its time. */
// @ts-ignore: decorator
@inline function putOff(w: LaneWheel, n: TimerNode, due: u64, kind: u32): void {
  if (due > n.placedAt && kind == <u32>n.kind && !(kind & TimerKind.PROMPT) && n.next != 0) {
    n.due = due;
    n.order = ++w.order;
    return;
  }
  takeInHand(w, n, due);
  if (n.next != 0) unlink(w, n);
  arm(w, n, due, kind);
  w.handNode = 0;
}

/** Arms a timer for `due`, ns of the lane clock, in this lane; one that is armed, here or elsewhere, is started anew. */
export function startNode(n: TimerNode, due: u64, kind: u32): void {
  const w = ownWheel();
  const word = wordOf(n);
  if (word == mine()) {
    putOff(w, n, due, kind);
    return;
  }
  if (word == 0 || word == firingHere()) {
    takeInHand(w, n, due);
    if (swapWord(n, word, word | mine())) {
      arm(w, n, due, kind);
      w.handNode = 0;
      return;
    }
    w.handNode = 0;
  }
  startContended(w, n, due, kind);
}

function startContended(w: LaneWheel, n: TimerNode, due: u64, kind: u32): void {
  spinLock(changetype<usize>(n) + LOCK);
  while (true) {
    const word = wordOf(n);
    const running = word & RUNNING;
    const place = placeOf(word);
    const queued = word & TimerState.QUEUED;
    if (place == 0 || (place == me() && !queued)) {
      takeInHand(w, n, due);
      if (!swapWord(n, word, running | mine())) continue;
      if (n.next != 0) unlink(w, n);
      arm(w, n, due, kind);
      w.handNode = 0;
      break;
    }
    // Another lane has the links, or our own inbox: they come to us by and by.
    n.nextDue = due;
    if (!swapWord(n, word, running | TimerState.ARMED | TimerState.QUEUED | (me() << OWNER) | (place << PLACE))) continue;
    n.nextKind = <u8>kind;
    if (!queued) bring(place, n);
    break;
  }
  spinUnlock(changetype<usize>(n) + LOCK);
}

/** Disarms a timer. Whether it was armed: its callback will not be called for that start. */
export function stopNode(n: TimerNode): bool {
  let word = wordOf(n);
  if (word == 0) return false;
  if (word == mine()) {
    const w = ownWheel();
    if (n.next != 0) unlink(w, n);
    if (swapWord(n, word, 0)) return true;
  }
  let armed = false;
  spinLock(changetype<usize>(n) + LOCK);
  while (true) {
    word = wordOf(n);
    if ((word & TimerState.ARMED) == 0) break;
    const running = word & RUNNING;
    const place = placeOf(word);
    if (place == me() && !(word & TimerState.QUEUED)) {
      if (n.next != 0) unlink(ownWheel(), n);
      if (!swapWord(n, word, running)) continue;
    } else {
      if (!swapWord(n, word, running | TimerState.QUEUED | (place << PLACE))) continue;
      if (!(word & TimerState.QUEUED)) bring(place, n);
    }
    armed = true;
    break;
  }
  spinUnlock(changetype<usize>(n) + LOCK);
  return armed;
}

/** A node from the inbox: its links are let go, taken back, or passed on. */
function settle(w: LaneWheel, n: TimerNode): void {
  spinLock(changetype<usize>(n) + LOCK);
  if (n.next != 0) unlink(w, n);
  while (true) {
    const word = wordOf(n);
    const running = word & RUNNING;
    const owner = ownerOf(word);
    if ((word & TimerState.ARMED) == 0) {
      if (!swapWord(n, word, running)) continue;
    } else if (owner == me()) {
      takeInHand(w, n, n.nextDue);
      if (!swapWord(n, word, running | mine())) continue;
      arm(w, n, n.nextDue, n.nextKind);
      w.handNode = 0;
    } else {
      if (!swapWord(n, word, (word & ~(LANE_MASK << PLACE)) | (owner << PLACE))) continue;
      bring(owner, n);
    }
    break;
  }
  spinUnlock(changetype<usize>(n) + LOCK);
}

/** Takes what others have put in this lane's inbox, in the order in which it came. */
export function takeInbox(w: LaneWheel): void {
  let n = atomic.xchg<u32>(changetype<usize>(w), 0, INBOX);
  let first: u32 = 0;
  while (n != 0) {
    const x = changetype<TimerNode>(n as usize);
    const rest = x.queueNext;
    x.queueNext = first;
    first = n;
    n = rest;
  }
  while (first != 0) {
    const x = changetype<TimerNode>(first as usize);
    first = x.queueNext;
    settle(w, x);
  }
}

// @ts-ignore: decorator
@inline export function hasMail(w: LaneWheel): bool { return atomic.load<u32>(changetype<usize>(w), INBOX) != 0; }
