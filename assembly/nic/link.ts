// A link: one direction of a wire between two ports. The owner of queue 0 at the receiving end pumps it.
//
//   transmit rings of the sender ─▶ loss ─▶ buffer (rate, limit, ECN) ─▶ corruption ─▶ delay ─▶ RSS ─▶ receive rings
//                                    │       one queue, or up to 8 (strict.ts)      └── flight.ts ──┘
//                                    └▶ duplicate: enters the buffer as a packet of its own
//
// Called by the loop and by the host's end. Promises: the same packets, times and seed give the same outcome, and a plain
// link only moves descriptors. A full receive ring holds packets back: nothing is lost but what the settings ask for.
import { FRAME_SIZE, Link, Port, Queue, QUEUE_SIZE, RING_SIZE, Ring, NO_FRAME } from "../layout.gen";
import { nowNs } from "../core/clock";
import { give, take } from "../core/hand";
import { header, packetAt } from "../core/lane";
import { copyPacket } from "../mem/copy";
import { allocFrame, frameOf, freeFrame } from "../mem/frames";
import { descAddr, descLen, entry, peek, push, reserve, ringAt, submit, submitOwn, unread } from "../mem/ring";
import { mark_ce } from "../wire/frame";
import { chance, heapPop, launch } from "./flight";
import { steer } from "./steer";
import { enqueue, serve } from "./strict";

const DUE_NEVER: u64 = u64.MAX_VALUE;
/** Bytes of a cache line. */
const LINE: u32 = 64;
/** Packets that are looked at ahead: of a longer burst the others are on their way while the first is worked on. */
const FEW: u32 = 4;

// @ts-ignore: decorator
@inline function feedOf(port: Port, queue: u32): Ring {
  return ringAt(changetype<Queue>((port.queuesAt + queue * QUEUE_SIZE) as usize).rxFeedAt);
}

function submitAll(port: Port): void {
  const queues = port.queueCount;
  for (let i: u32 = 0; i < queues; i++) submit(feedOf(port, i));
}

/** Moves packets along the link; at most `limit` from each sending ring when it is plain. Returns packets delivered. */
export function pump(at: u32, limit: u32): u32 {
  const l = changetype<Link>(at as usize);
  const port = changetype<Port>(l.toPort as usize);
  if (l.plain) return port.queueCount == 1 ? move(l, port, limit) : spread(l, port, limit);
  if (l.queuesAt != 0) {
    // What waited had the wire before whatever comes now.
    serve(l);
    absorb(l);
    serve(l);
  } else absorb(l);
  return deliver(l, port);
}

/**
 * Whether a link with times has nothing to do now: nothing sent, nothing due, nothing whose turn at the wire has come. In a
 * network of many hosts that is most of them at any time. False for a plain one: its rings are looked at once only.
 */
export function rests(at: u32): bool {
  const l = changetype<Link>(at as usize);
  if (l.plain != 0 || (l.heapCount != 0 && load<u64>(l.heapAt as usize) <= nowNs)) return false;
  if (l.waiting != 0 && l.busyUntil <= nowNs * 1000) return false;
  for (let i: u32 = 0; i < l.fromCount; i++) if (unread(ringAt(l.fromAt + i * RING_SIZE))) return false;
  return true;
}

/**
 * Whether there is something to pump, as far as a look at memory can tell: what comes by time may be due. The next entry is
 * looked at with it: what another core wrote there is on its way while the word that tells of it is.
 */
export function mayBring(at: u32): bool {
  const l = changetype<Link>(at as usize);
  if (l.plain == 0) return true;
  for (let i: u32 = 0; i < l.fromCount; i++) {
    const r = ringAt(l.fromAt + i * RING_SIZE);
    // No descriptor names NO_FRAME: it is the load that counts.
    if (unread(r) || (r.slots != 0 && descAddr(entry(r, 0)) == NO_FRAME)) return true;
  }
  return false;
}

/**
 * The lines that the headers and a short message have, asked of another core's cache all together: a program waits for each
 * in turn. Loads of no other address than a packet's may be made.
 */
// @ts-ignore: decorator
@inline function fetchPacket(addr: u32, len: u32): u32 {
  if (addr >= header().packetBytes || (addr & (FRAME_SIZE - 1)) > FRAME_SIZE - 3 * LINE) return 0;
  const at = packetAt + addr;
  let bits = load<u32>(at);
  if (len > LINE) bits |= load<u32>(at + LINE);
  if (len > 2 * LINE) bits |= load<u32>(at + 2 * LINE);
  return bits;
}

/** Plain, one queue: descriptors go from ring to ring. */
function move(l: Link, port: Port, limit: u32): u32 {
  const feed = feedOf(port, 0);
  const rings = l.fromCount;
  let moved: u32 = 0;
  let bits: u32 = 0;
  for (let i: u32 = 0; i < rings; i++) {
    const r = ringAt(l.fromAt + i * RING_SIZE);
    let n = peek(r, limit);
    if (n == 0) continue;
    n = reserve(feed, n);
    take(r, n);
    for (let k: u32 = 0; k < n; k++) {
      const d = entry(r, k);
      push(feed, descAddr(d), descLen(d), 0);
    }
    if (n <= FEW) for (let k: u32 = 0; k < n; k++) bits |= fetchPacket(descAddr(entry(r, k)), descLen(entry(r, k)));
    // Whoever pumps owns the one queue that there is.
    submitOwn(feed);
    give(r, n);
    moved += n;
  }
  l.fetched = bits;
  l.taken += moved;
  l.delivered += moved;
  return moved;
}

/** Plain, several queues: each packet to the queue of its flow. */
function spread(l: Link, port: Port, limit: u32): u32 {
  const rings = l.fromCount;
  let moved: u32 = 0;
  for (let i: u32 = 0; i < rings; i++) {
    const r = ringAt(l.fromAt + i * RING_SIZE);
    const n = peek(r, limit);
    if (n == 0) continue;
    take(r, n);
    let k: u32 = 0;
    for (; k < n; k++) {
      const d = entry(r, k);
      const addr = descAddr(d);
      const len = descLen(d);
      if (!push(feedOf(port, steer(port, packetAt + addr, len)), addr, len, 0)) break;
    }
    submitAll(port);
    give(r, k);
    moved += k;
  }
  l.taken += moved;
  l.delivered += moved;
  return moved;
}

/** Takes everything sent and puts it under way. */
function absorb(l: Link): void {
  const rings = l.fromCount;
  for (let i: u32 = 0; i < rings; i++) {
    const r = ringAt(l.fromAt + i * RING_SIZE);
    const n = peek(r, r.slots);
    if (n == 0) continue;
    take(r, n);
    for (let k: u32 = 0; k < n; k++) {
      const d = entry(r, k);
      enter(l, descAddr(d), descLen(d));
    }
    give(r, n);
    l.taken += n;
  }
}

/** One packet at the sender's end. Draws are made in this order whatever becomes of it. */
function enter(l: Link, addr: u32, len: u32): void {
  if (chance(l, l.loss)) {
    l.lost++;
    freeFrame(addr);
    return;
  }
  if (chance(l, l.duplicate)) {
    const clone = allocFrame();
    if (clone != NO_FRAME) {
      const copy = clone + (addr - frameOf(addr));
      copyPacket(packetAt + copy, packetAt + addr, len);
      l.duplicated++;
      queue(l, copy, len);
    }
  }
  queue(l, addr, len);
}

/** Buffer, wire and delay. */
function queue(l: Link, addr: u32, len: u32): void {
  if (l.queuesAt != 0) {
    enqueue(l, addr, len);
    return;
  }
  if (l.heapCount >= l.heapMax) {
    l.overflowed++;
    freeFrame(addr);
    return;
  }
  const nowPs = nowNs * 1000;
  let sentPs = nowPs;
  const rate = l.rate;
  if (rate != 0) {
    const startPs = l.busyUntil > nowPs ? l.busyUntil : nowPs;
    // In doubles: time × rate passes 2^64 within a second at 100 Gbit/s.
    const backlog = <u64>(<f64>(startPs - nowPs) * <f64>rate / 8e12);
    if (l.queueBytes != 0 && backlog + len > (l.queueBytes as u64)) {
      l.overflowed++;
      freeFrame(addr);
      return;
    }
    if (l.ecnBytes != 0 && backlog >= (l.ecnBytes as u64) && mark_ce(packetAt + addr, len)) l.marked++;
    sentPs = startPs + ((len as u64) * 8_000_000_000_000) / rate;
    l.busyUntil = sentPs;
  }
  launch(l, addr, len, sentPs);
}

/** Puts what is due on the receive rings, oldest first; stops at a full one. */
function deliver(l: Link, port: Port): u32 {
  let n: u32 = 0;
  while (l.heapCount != 0) {
    const top = l.heapAt as usize;
    if (load<u64>(top) > nowNs) break;
    const addr = load<u32>(top, 12);
    const len = load<u32>(top, 16);
    if (!push(feedOf(port, steer(port, packetAt + addr, len)), addr, len, 0)) break;
    heapPop(l);
    n++;
  }
  if (n != 0) {
    submitAll(port);
    l.delivered += n;
  }
  return n;
}

/** When the next packet is due, ns; the largest u64 when none is under way. */
export function link_next_due(at: usize): u64 {
  const l = changetype<Link>(at);
  let due = l.heapCount == 0 ? DUE_NEVER : load<u64>(l.heapAt as usize);
  // Who waits goes on when the wire is free.
  if (l.waiting != 0) {
    const free = (l.busyUntil + 999) / 1000;
    if (free < due) due = free;
  }
  return due;
}

/** Host entry of `pump`, for ends that no lane owns. */
export function link_pump(at: u32, limit: u32): u32 { return pump(at, limit); }
