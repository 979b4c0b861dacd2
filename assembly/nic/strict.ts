// Strict priority before the wire of a link: packets wait in queues by class, and whenever the wire is free the first of the
// highest queue leaves; a frame under way is not interrupted. Called by link.ts for links with `queuesAt`.
//
//   enter ─▶ class (802.1p │ DSCP) ─▶ limits, ECN ─┬▶ queue 7 ─┐
//                                                  ├▶ …        ├─▶ wire free? highest first ─▶ launch (flight.ts)
//                                                  └▶ queue 0 ─┘
//
// Promises: packets of a queue keep their order; the wire is never idle while one waits; with all packets in one queue, times,
// drops and marks are those of a link without queues. Lower queues may starve: `passed` and `maxWaitNs` say how much.
import { PRIORITY_QUEUE_SIZE, LINK_WAIT_SIZE, Link, PriorityQueue } from "../layout.gen";
import { nowNs } from "../core/clock";
import { packetAt } from "../core/lane";
import { freeFrame } from "../mem/frames";
import { class_of, mark_ce } from "../wire/frame";
import { launch } from "./flight";

// @ts-ignore: decorator
@inline function queueAt(l: Link, i: u32): PriorityQueue { return changetype<PriorityQueue>((l.queuesAt + i * PRIORITY_QUEUE_SIZE) as usize); }

/** Entry of a waiting packet: {u64 atNs, u32 addr, u32 len}. */
// @ts-ignore: decorator
@inline function waitAt(q: PriorityQueue, i: u32): usize { return (q.entriesAt + (i & q.mask) * LINK_WAIT_SIZE) as usize; }

/** Bytes of the frame under way that the wire has not carried yet. */
function unsent(l: Link): u64 {
  const nowPs = nowNs * 1000;
  // In doubles: time × rate passes 2^64 within a second at 100 Gbit/s.
  return l.busyUntil > nowPs ? <u64>(<f64>(l.busyUntil - nowPs) * <f64>l.rate / 8e12) : 0;
}

/** Puts a packet in the queue of its class, or drops it. */
export function enqueue(l: Link, addr: u32, len: u32): void {
  const data = packetAt + addr;
  // Four bits a class.
  const i = (l.queueOf >> (class_of(data, len) << 2)) & 7;
  const q = queueAt(l, i);
  const backlog = l.waitingBytes + unsent(l);
  const bytes = q.bytes;
  if (
    l.waiting + l.heapCount >= l.heapMax ||
    (l.queueBytes != 0 && backlog + len > (l.queueBytes as u64)) ||
    (q.queueBytes != 0 && bytes + len > q.queueBytes)
  ) {
    q.dropped++;
    l.overflowed++;
    freeFrame(addr);
    return;
  }
  if (
    ((l.ecnBytes != 0 && backlog >= (l.ecnBytes as u64)) || (q.ecnBytes != 0 && bytes >= q.ecnBytes)) &&
    mark_ce(data, len)
  ) {
    q.marked++;
    l.marked++;
  }
  const tail = q.tail;
  const at = waitAt(q, tail);
  store<u64>(at, nowNs);
  store<u32>(at, addr, 8);
  store<u32>(at, len, 12);
  q.tail = tail + 1;
  q.enqueued++;
  q.bytes = bytes + len;
  if (q.bytes > q.maxBytes) q.maxBytes = q.bytes;
  const depth = tail + 1 - q.head;
  if (depth > q.maxPackets) q.maxPackets = depth;
  l.occupied |= 1 << i;
  l.waiting++;
  l.waitingBytes += len;
}

/** Sends what the wire has had time for by now. */
export function serve(l: Link): void {
  const nowPs = nowNs * 1000;
  while (l.waiting != 0) {
    const occupied = l.occupied;
    const i = 31 - clz<u32>(occupied);
    const q = queueAt(l, i);
    const head = q.head;
    const at = waitAt(q, head);
    const arrivedNs = load<u64>(at);
    const arrivedPs = arrivedNs * 1000;
    const startPs = l.busyUntil > arrivedPs ? l.busyUntil : arrivedPs;
    if (startPs > nowPs) return;
    const addr = load<u32>(at, 8);
    const len = load<u32>(at, 12);
    const waitNs = startPs / 1000 - arrivedNs;
    if (waitNs > q.maxWaitNs) q.maxWaitNs = waitNs;
    q.waitNs += waitNs;
    q.sent++;
    q.sentBytes += len;
    for (let lower = occupied & ~(1 << i); lower != 0; lower &= lower - 1) queueAt(l, ctz<u32>(lower)).passed++;
    const sentPs = startPs + ((len as u64) * 8_000_000_000_000) / l.rate;
    l.busyUntil = sentPs;
    // First there, then away from here: whoever mends after a crash finds it in both, not in none.
    launch(l, addr, len, sentPs);
    q.head = head + 1;
    q.bytes -= len;
    if (q.head == q.tail) l.occupied = occupied & ~(1 << i);
    l.waiting--;
    l.waitingBytes -= len;
  }
}
