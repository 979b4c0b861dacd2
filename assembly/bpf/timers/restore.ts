// The nodes of a map as a whole: laid out with it, ended with it, and put back into wheels after a crash. What a node
// says of itself is the truth; lists and inboxes are made from it.
import { LaneWheel, MapHeader, MapType, TIMER_NODE_SIZE, TimerNode, TimerState } from "../../layout.gen";
import { header } from "../../core/lane";
import { link, resetWheel, wheelOf } from "../../core/wheel";
import { head } from "../maps/map";
import { timer_free } from "./helpers";
import { ownerOf, wordOf } from "./own";

// @ts-ignore: decorator
@inline function nodeAt(h: MapHeader, i: u32): TimerNode {
  return changetype<TimerNode>((h.timersAt + i * TIMER_NODE_SIZE) as usize);
}

/** Names map and value in every node of a new map. */
export function initTimers(map: usize): void {
  const h = head(map);
  const valueAt = h.dataAt + (h.type == MapType.ARRAY ? 0 : h.aux3);
  for (let i: u32 = 0; i < h.timerCount; i++) {
    const n = nodeAt(h, i);
    n.mapAt = <u32>map;
    n.valueAt = valueAt + i * h.stride;
  }
}

/** User space gives the map up: its timers are cancelled and freed, and no new ones can be made. Returns how many there were. */
export function timers_close(map: usize): u32 {
  atomic.store<u32>(map, 0, offsetof<MapHeader>("held"));
  return timers_clear(map);
}

/** Cancels and frees every timer of a map. Returns how many there were. */
export function timers_clear(map: usize): u32 {
  const h = head(map);
  let n: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) {
    const timer: usize = nodeAt(h, i).valueAt + h.valueTimer - 1;
    if (!atomic.load<u32>(timer)) continue;
    timer_free(timer);
    n++;
  }
  return n;
}

/** Timers of a map whose callback is one of `count` table slots from `slot` on: a program that must stay. */
export function timers_calling(map: usize, slot: u32, count: u32): u32 {
  const h = head(map);
  let n: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) {
    if (atomic.load<u32>(changetype<usize>(nodeAt(h, i)), offsetof<TimerNode>("slot")) - slot < count) n++;
  }
  return n;
}

/** Cancels and frees those timers. Returns how many there were. */
export function timers_uncall(map: usize, slot: u32, count: u32): u32 {
  const h = head(map);
  let freed: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) {
    const n = nodeAt(h, i);
    if (atomic.load<u32>(changetype<usize>(n), offsetof<TimerNode>("slot")) - slot >= count) continue;
    timer_free(n.valueAt + h.valueTimer - 1);
    freed++;
  }
  return freed;
}

/** Timers of a map whose callback is at table slot `from` call `to` from now on. Returns how many there were. */
export function timers_recall(map: usize, from: u32, to: u32): u32 {
  const h = head(map);
  let n: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) {
    const at = changetype<usize>(nodeAt(h, i));
    // A lane may set another meanwhile, or none.
    if (atomic.load<u32>(at, offsetof<TimerNode>("slot")) == from
      && atomic.cmpxchg<u32>(at, from, to, offsetof<TimerNode>("slot")) == from) n++;
  }
  return n;
}

/** Nodes that some wheel or inbox still names: the map's memory may not be given away. */
export function timers_linked(map: usize): u32 {
  const h = head(map);
  let n: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) if (wordOf(nodeAt(h, i)) != 0) n++;
  return n;
}

/** Empties every wheel, while no lane runs; timers_restore of every map comes after. What was in hand is noted in its node. */
export function timers_reset(): void {
  const lanes = header().laneCount;
  for (let i: u32 = 0; i <= lanes; i++) {
    const w = wheelOf(i);
    if (w.handNode != 0) {
      const n = changetype<TimerNode>(w.handNode as usize);
      // Taken, but what was asked for may not have been noted yet.
      const word = wordOf(n);
      if (word & TimerState.ARMED && !(word & TimerState.QUEUED) && ownerOf(word) == i + 1) n.due = w.handDue;
    }
    resetWheel(w);
  }
}

/**
 * Puts the timers of a map back into the wheels of the lanes that started them, while no lane runs: each that is armed
 * fires once. What was firing has fired. Without `arm` all of them are disarmed, and in any case those of lane `except`,
 * which is no more: u32.MAX_VALUE for none. Returns how many are armed.
 */
export function timers_restore(map: usize, arm: u32, except: u32): u32 {
  const h = head(map);
  const lanes = header().laneCount;
  let armed: u32 = 0;
  for (let i: u32 = 0; i < h.timerCount; i++) {
    const n = nodeAt(h, i);
    const word = wordOf(n);
    n.next = 0;
    n.lock = 0;
    n.cancelling = 0;
    const owner = ownerOf(word);
    if (!arm || !(word & TimerState.ARMED) || owner == 0 || owner > lanes + 1 || owner - 1 == except) {
      n.word = 0;
      continue;
    }
    if (word & TimerState.QUEUED) {
      n.due = n.nextDue;
      n.kind = n.nextKind;
    }
    n.word = TimerState.ARMED | (owner << 8) | (owner << 16);
    link(wheelOf(owner - 1), n, 0);
    armed++;
  }
  return armed;
}
