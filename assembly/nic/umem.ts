// Frames that the kernel has: an AF_XDP port's fill and completion rings, and the table of who lent what.
//
//            fill ring                     rx ring
//   pool ───────────────▶ kernel (AF_XDP) ─────────▶ burst of the loop ──▶ verdict
//    ▲                        │      ▲                                      │
//    └── completion ring ◀────┘      └───────────── tx ring ◀───────────────┘
//
// A frame given to the kernel is marked with the port's number before it is published, and unmarked when it comes back:
// which frames the kernel holds in between no ring says. Called by the loop, a burst at a time, or by the host where
// packets are to pass it (umem_receive, umem_send); only the owner of a queue touches its rings. Promises: never blocks, never takes more from the kernel's word than the packet area has.
import { DESC_LEN, DESC_SIZE, DropReason, FRAME_SIZE, NO_FRAME, Queue, Ring } from "../layout.gen";
import { countDropAt } from "../core/counters";
import { header, self } from "../core/lane";
import { allocFrame, freeFrame } from "../mem/frames";
import {
  addressEntry, descAddr, descLen, entry, peek, push, pushAddress, release, reserve, ringAt, staged, submit,
} from "../mem/ring";

/** Most frames given to a fill ring, or taken from a completion ring, at a time. */
const MOST: u32 = 256;
/** XDP_RING_NEED_WAKEUP: the driver waits for a system call. */
const NEED_WAKEUP: u32 = 1;

// @ts-ignore: decorator
@inline function mark(table: u32, addr: u32, port: u32): void { store<u8>((table + addr / FRAME_SIZE) as usize, <u8>port); }

/**
 * Marks what is staged on a transmit ring of port `r.lender`. Called right before it is published. A packet of no bytes
 * ends here: the kernel skips its descriptor (xp_validate_desc) and would keep the frame for ever.
 */
export function lend(r: Ring): void {
  const table = header().lentAt;
  const to = r.cachedProducer;
  let kept = r.submitted;
  for (let i = r.submitted; i != to; i++) {
    const d = (r.entriesAt + ((i & r.mask) << 4)) as usize;
    const addr = load<u32>(d);
    if (load<u32>(d, DESC_LEN) == 0) {
      if (r.countersAt != 0) countDropAt(r.countersAt as usize, DropReason.TX_EMPTY);
      freeFrame(addr);
      continue;
    }
    mark(table, addr, r.lender);
    if (kept != i) memory.copy((r.entriesAt + ((kept & r.mask) << 4)) as usize, d, DESC_SIZE);
    kept++;
  }
  r.cachedProducer = kept;
  self().owedKicks = 1;
}

/** The first `n` packets of the receive ring are ours again. */
export function takeBack(rx: Ring, n: u32): void {
  const table = header().lentAt;
  const packetBytes = header().packetBytes;
  for (let k: u32 = 0; k < n; k++) {
    const addr = descAddr(entry(rx, k));
    if (addr < packetBytes) mark(table, addr, 0);
  }
}

/** Gives the kernel empty frames, as many as the fill ring has room for. */
export function refill(q: Queue, port: u32): void {
  const r = ringAt(q.fillAt);
  const n = reserve(r, MOST);
  if (n == 0) return;
  const table = header().lentAt;
  for (let k: u32 = 0; k < n; k++) {
    const frame = allocFrame();
    if (frame == NO_FRAME) break;
    pushAddress(r, frame);
    mark(table, frame, port);
  }
  if (staged(r) == 0) return;
  submit(r);
  if (load<u32>(r.flagsAt as usize) & NEED_WAKEUP) self().owedKicks = 1;
}

/** Takes back the frames of packets that were sent. */
export function reap(q: Queue): void {
  const r = ringAt(q.completionAt);
  const n = peek(r, MOST);
  if (n == 0) return;
  const table = header().lentAt;
  const packetBytes = header().packetBytes;
  for (let k: u32 = 0; k < n; k++) {
    const addr = addressEntry(r, k);
    if (addr >= packetBytes) continue;
    mark(table, addr, 0);
    freeFrame(addr);
  }
  release(r, n);
}

/**
 * The host's part at a port that is wrapped: moves what the kernel received to the receive ring `to` of port `port`, and
 * frames to and fro as the owner of a queue does. Returns packets moved.
 */
export function umem_receive(queue: u32, to: u32, port: u32): u32 {
  const q = changetype<Queue>(queue as usize);
  reap(q);
  refill(q, port);
  const rx = ringAt(q.rxAt);
  const out = ringAt(to);
  const n = reserve(out, peek(rx, MOST));
  if (n == 0) return 0;
  takeBack(rx, n);
  for (let k: u32 = 0; k < n; k++) {
    const d = entry(rx, k);
    push(out, descAddr(d), descLen(d), 0);
  }
  submit(out);
  release(rx, n);
  return n;
}

/** The same for packets that go: from the transmit ring `from` to the kernel's ring `to`. Returns packets moved. */
export function umem_send(from: u32, to: u32): u32 {
  const tx = ringAt(from);
  const out = ringAt(to);
  const n = reserve(out, peek(tx, MOST));
  if (n == 0) return 0;
  for (let k: u32 = 0; k < n; k++) {
    const d = entry(tx, k);
    push(out, descAddr(d), descLen(d), 0);
  }
  lend(out);
  submit(out);
  release(tx, n);
  return n;
}
