// The loop: what happens to a packet. Run to completion, burst by burst, by one lane (or inline by the host).
//
//   replay / link / NIC ─▶ rx ring ─▶ context ─▶ program ─▶ DROP      pool
//                                                        ├▶ PASS      tc → socket filter → pass ring   (stack.ts)
//        other lanes ────▶ lane link ─▶ cpumap program ──┤▶ TX        transmit ring of this port       (nic/tx.ts)
//                                                        └▶ REDIRECT  port, lane, socket, broadcast    (forward.ts)
//        between bursts: timers of programs that are due                                               (bpf/timers)
//        doorbells ──────▶ ready streams                                                                (stream/)
//        ready streams ──▶ XDP_GEN ─▶ XDP_EGRESS ─▶ transmit ring, at the end of each round             (generate.ts)
//
// Nothing here allocates, locks or calls JavaScript. Everything staged in a round is published at its end: one atomic
// store per ring, not per packet.
import {
  CounterBlock, DropReason, FRAME_SIZE, Hook, LaneFlag, LaneState, Link, OPT_QUEUE_SHIFT, OPT_SLOT_SHIFT, OPT_TRANSMIT,
  PORT_SIZE, Port, Queue, RING_SIZE, Replay, Ring, XdpAction, XdpContext,
} from "../layout.gen";
import { clock_set_number } from "./clock";
import { blockOf, countDrop, countIn, countVerdict, counters } from "./counters";
import { dropFrame, forward } from "./forward";
import { generate } from "./generate";
import { give, giveOwn, take } from "./hand";
import { runProgram, slotAt } from "./hooks";
import { header, lane, packetAt, self } from "./lane";
import { clearRedirect } from "./redirect";
import { budget } from "./room";
import { openStack, receive } from "./stack";
import { frameOf, freeFrame } from "../mem/frames";
import { descAddr, descLen, descOptions, entry, peek, reserve, ringAt, unread } from "../mem/ring";
import { flush, portUp, transmit } from "../nic/tx";
import { link_next_due, mayBring, pump, rests } from "../nic/link";
import { play } from "../nic/replay";
import { reap, refill, takeBack } from "../nic/umem";
import { beginTurn, endTurn, turnAwaited } from "../stream/turn";
import { aheadOfPackets } from "../bpf/maps/flow_table";
import { pacing, timers_next_due, timers_run, timersWait } from "../bpf/timers/fire";

/** CounterBlock.verdict of everything above XDP_REDIRECT. */
const VERDICT_OTHER: u32 = 5;

/** Packets after which the kernel gets empty frames again, and the sent ones are fetched; sooner when there is nothing to do. */
const SUPPLY: u32 = 64;

/** What a program decided about the packet in `x`. `frame` is any address in its frame: the program may move data. */
function act(verdict: u32, port: Port, queue: u32, x: XdpContext, frame: u32): void {
  switch (verdict) {
    case XdpAction.PASS: {
      const meta = x.dataMeta <= x.data ? x.data - x.dataMeta : 0;
      receive(port, queue, x.data - <u32>packetAt, x.dataEnd - x.data, meta);
      return;
    }
    case XdpAction.TX: {
      if (!transmit(port, x.data - <u32>packetAt, x.dataEnd - x.data)) dropFrame(frame, DropReason.TX_FULL);
      return;
    }
    case XdpAction.REDIRECT: {
      forward(port, queue, x, frame);
      clearRedirect();
      return;
    }
    case XdpAction.ABORTED: {
      dropFrame(frame, DropReason.XDP_ABORTED);
      return;
    }
    default:
      dropFrame(frame, DropReason.XDP_INVALID);
  }
}

/** Points the context at the packet. */
// @ts-ignore: decorator
@inline function aim(x: XdpContext, addr: u32, len: u32): void {
  const data = <u32>packetAt + addr;
  const start = <u32>packetAt + frameOf(addr);
  x.data = data;
  x.dataEnd = data + len;
  x.dataMeta = data;
  x.hardStart = start;
  x.frameEnd = start + FRAME_SIZE;
}

/** A descriptor that leaves its frame or the packet area is refused: it may come from outside. */
// @ts-ignore: decorator
@inline function sound(addr: u32, len: u32, packetBytes: u32): bool {
  return addr < packetBytes && (addr & (FRAME_SIZE - 1)) + len <= FRAME_SIZE && len <= FRAME_SIZE;
}

/** The frame is known by any address in it; what lies outside the packet area names none. The host looks at the count. */
function refuse(ls: LaneState, addr: u32, len: u32, inside: bool): void {
  ls.badAddr = addr;
  ls.badLen = len;
  if (inside) dropFrame(addr, DropReason.BAD_DESCRIPTOR);
  else {
    ls.strayDescriptors++;
    countDrop(DropReason.BAD_DESCRIPTOR);
  }
  atomic.add<u32>(changetype<usize>(ls), 1, offsetof<LaneState>("badDescriptors"));
}

/**
 * Packets of a port where nothing is attached can only go up: a full transmit ring must not keep them, which may be what
 * its other end waits for.
 */
// @ts-ignore: decorator
@inline function budgetOf(ls: LaneState, q: Queue, n: u32): u32 {
  if (n == 0 || (ls.flags & LaneFlag.LOSSLESS) == 0) return n;
  const port = changetype<Port>(q.portAt as usize);
  const hooked = slotAt(port, Hook.XDP) | slotAt(port, Hook.TC_INGRESS) | slotAt(port, Hook.SOCKET_FILTER);
  if ((hooked | port.responderAt) != 0) return budget(ls, n);
  return (ls.flags & LaneFlag.PASS_SINK) != 0 ? n : reserve(ringAt(ls.passAt), n);
}

/** One burst of a receive queue. Returns packets taken. */
function receiveBurst(ls: LaneState, q: Queue): u32 {
  const rx = ringAt(q.rxAt);
  let n: u32;
  if ((q.linkAt | q.replayAt) != 0) {
    if (q.replayAt == 0 && rests(q.linkAt) && !unread(rx)) return 0;
    const limit = budgetOf(ls, q, ls.burst);
    if (limit == 0) return 0;
    if (q.linkAt != 0) pump(q.linkAt, limit);
    if (q.replayAt != 0) play(q.replayAt, limit);
    n = peek(rx, limit);
  } else {
    n = budgetOf(ls, q, peek(rx, ls.burst));
  }
  const port = changetype<Port>(q.portAt as usize);
  if (q.fillAt != 0) {
    // A packet that comes alone need not wait for it.
    const unfilled = q.unfilled + n;
    if (n == 0 || unfilled >= SUPPLY) {
      reap(q);
      refill(q, port.ifindex);
      q.unfilled = 0;
    } else q.unfilled = unfilled;
  }
  if (n == 0) return 0;
  if (header().streamPoolAt != 0) aheadOfPackets(rx, n);
  take(rx, n);
  if (q.fillAt != 0) takeBack(rx, n);
  const block = q.countersAt as usize;
  countIn(block);
  const queue = q.index;
  const packetBytes = header().packetBytes;
  const x = changetype<XdpContext>(ls.xdpAt as usize);
  x.ingressIfindex = port.ifindex;
  x.rxQueueIndex = queue;
  x.egressIfindex = 0;
  x.rxHash = 0;
  const slot = slotAt(port, Hook.XDP);
  openStack(port);
  let bytes: u64 = 0;
  let dropped: u32 = 0;
  for (let k: u32 = 0; k < n; k++) {
    const d = entry(rx, k);
    const addr = descAddr(d);
    const len = descLen(d);
    if (!sound(addr, len, packetBytes)) {
      refuse(ls, addr, len, addr < packetBytes);
      continue;
    }
    bytes += len;
    if (slot == 0) {
      receive(port, queue, addr, len, 0);
      continue;
    }
    aim(x, addr, len);
    const verdict = runProgram(slot, changetype<usize>(x));
    if (verdict == XdpAction.DROP) {
      dropped++;
      freeFrame(addr);
      continue;
    }
    countVerdict(verdict < VERDICT_OTHER ? verdict : VERDICT_OTHER);
    act(verdict, port, queue, x, addr);
  }
  const c = changetype<CounterBlock>(block);
  c.rxPackets += n;
  c.rxBytes += bytes;
  if (dropped != 0) {
    countVerdict(XdpAction.DROP, dropped);
    countDrop(DropReason.XDP_DROP, dropped);
  }
  // What this lane pumped into the ring itself nobody else looks at.
  if (q.linkAt != 0) giveOwn(rx, n);
  else give(rx, n);
  return n;
}

/** One burst of a lane link: packets that another lane redirected here, or that it cannot transmit itself. */
function inboundBurst(ls: LaneState, r: Ring): u32 {
  const n = budget(ls, peek(r, ls.burst));
  if (n == 0) return 0;
  take(r, n);
  const x = changetype<XdpContext>(ls.xdpAt as usize);
  for (let k: u32 = 0; k < n; k++) {
    const d = entry(r, k);
    const addr = descAddr(d);
    const len = descLen(d);
    const options = descOptions(d);
    const ifindex = options & 0xff;
    const port = changetype<Port>((header().portsAt + ifindex * PORT_SIZE) as usize);
    countIn(blockOf(port, 0, lane));
    if (options & OPT_TRANSMIT) {
      if (changetype<usize>(portUp(ifindex)) == 0) dropFrame(addr, DropReason.REDIRECT_NO_PORT);
      else if (!transmit(port, addr, len)) dropFrame(addr, DropReason.TX_FULL);
      continue;
    }
    const queue = (options >> OPT_QUEUE_SHIFT) & 0xff;
    const slot = options >> OPT_SLOT_SHIFT;
    openStack(port);
    if (slot == 0) {
      receive(port, queue, addr, len, 0);
      continue;
    }
    aim(x, addr, len);
    x.ingressIfindex = ifindex;
    x.rxQueueIndex = queue;
    x.egressIfindex = 0;
    x.rxHash = 0;
    const verdict = runProgram(slot, changetype<usize>(x));
    countVerdict(verdict < VERDICT_OTHER ? verdict : VERDICT_OTHER);
    // A cpumap program may drop, pass and redirect; there is no wire to bounce to (cpu_map_bpf_prog_run_xdp).
    if (verdict == XdpAction.DROP) dropFrame(addr, DropReason.XDP_DROP);
    else act(verdict == XdpAction.TX ? VERDICT_OTHER : verdict, port, queue, x, addr);
  }
  give(r, n);
  return n;
}

/** Whether a queue or lane link of this lane has something for it, a stream is ready, or application or host want something. */
function awaited(ls: LaneState): bool {
  if (ls.readyHead != 0 || turnAwaited()) return true;
  const queues = ls.queueCount;
  for (let i: u32 = 0; i < queues; i++) {
    const q = changetype<Queue>(load<u32>((ls.queuesAt + (i << 2)) as usize) as usize);
    // What comes by time, or is fetched, cannot be seen here.
    if (q.replayAt != 0 || unread(ringAt(q.rxAt)) || (q.linkAt != 0 && mayBring(q.linkAt))) return true;
  }
  const lanes = header().laneCount;
  for (let i: u32 = 0; i <= lanes; i++) if (unread(ringAt(ls.inboundAt + i * RING_SIZE))) return true;
  const at = changetype<usize>(ls);
  return timersWait() || atomic.load<u32>(at, offsetof<LaneState>("generation")) != ls.acked
    || atomic.load<u32>(at, offsetof<LaneState>("command")) != 0;
}

/**
 * Runs up to `rounds` rounds: one burst of every queue and lane link that this lane owns, then timers that are due, then
 * what the ready streams have to send, then everything staged is published. Stops early when a round found nothing, the
 * host wants something, or a pacer is about to fall due and the clock must be read. Before the first it looks for work, up
 * to `looks` times: a packet that comes to an idle lane need not wait for the way out to the host's clock and back (a look
 * takes some ns; the lane's clock stands still meanwhile, so not before a pacer). Returns packets taken, doorbells, timers fired
 * and runs of XDP_GEN.
 */
export function loop_run(rounds: u32, looks: u32): u32 {
  const ls = self();
  const at = changetype<usize>(ls);
  let done: u32 = 0;
  let others: u32 = 0;
  ls.owedKicks = 0;
  if (pacing()) looks = 0;
  while (looks != 0 && !awaited(ls)) looks--;
  for (let round: u32 = 0; round < rounds; round++) {
    // What a program noted and did not use names a map, perhaps, that may be gone after a burst boundary.
    clearRedirect();
    // Doorbells count as work, not as packets.
    let made = beginTurn();
    let taken: u32 = 0;
    const queues = ls.queueCount;
    for (let i: u32 = 0; i < queues; i++) {
      taken += receiveBurst(ls, changetype<Queue>(load<u32>((ls.queuesAt + (i << 2)) as usize) as usize));
      flush();
    }
    const lanes = header().laneCount;
    for (let i: u32 = 0; i <= lanes; i++) {
      const r = ringAt(ls.inboundAt + i * RING_SIZE);
      // A look here, not a call for each of them, that mostly finds nothing.
      if (unread(r)) taken += inboundBurst(ls, r);
    }
    // Timers first: they make streams ready.
    const fired = timersWait() ? timers_run() : 0;
    if (ls.readyHead != 0) made += generate(ls, budget(ls, u32.MAX_VALUE));
    flush();
    endTurn();
    done += taken;
    others += fired + made;
    atomic.store<u32>(at, ls.epoch + 1, offsetof<LaneState>("epoch"));
    if ((taken | fired | made) == 0) break;
    // What is published to the kernel moves only by a system call of the host's side.
    if (ls.owedKicks != 0) break;
    if (atomic.load<u32>(at, offsetof<LaneState>("generation")) != ls.acked) break;
    if (atomic.load<u32>(at, offsetof<LaneState>("command")) != 0) break;
    if (pacing()) break;
  }
  ls.packets += done;
  return done + others;
}

/** The same at time `ns` of the lane's clock: one call from JavaScript, where that comes before it, is half of two. */
export function loop_run_at(ns: f64, rounds: u32, looks: u32): u32 {
  clock_set_number(ns);
  return loop_run(rounds, looks);
}

/** Earliest time at which a link that this lane pumps, or a timer, has something due; the largest u64 when there is nothing. */
export function loop_next_due(): u64 {
  const timer = timers_next_due();
  const link = loop_links_due();
  return timer < link ? timer : link;
}

/** The same of links only: what is under way; the largest u64 when nothing is. */
export function loop_links_due(): u64 {
  const ls = self();
  let next = u64.MAX_VALUE;
  for (let i: u32 = 0; i < ls.queueCount; i++) {
    const link = changetype<Queue>(load<u32>((ls.queuesAt + (i << 2)) as usize) as usize).linkAt;
    if (link == 0) continue;
    const due = link_next_due(link as usize);
    if (due < next) next = due;
  }
  return next;
}

/**
 * 1 when there is work that waits for room in a ring: of a lossless lane any, else that of ready streams, of a replay, and
 * of a link whose packets are other lanes' to take.
 */
export function loop_blocked(): u32 {
  const ls = self();
  if (ls.readyHead != 0 || budget(ls, ls.burst) == 0) return 1;
  for (let i: u32 = 0; i < ls.queueCount; i++) {
    const q = changetype<Queue>(load<u32>((ls.queuesAt + (i << 2)) as usize) as usize);
    if (q.replayAt != 0 && changetype<Replay>(q.replayAt as usize).remaining != 0) return 1;
    if (q.linkAt != 0 && changetype<Link>(q.linkAt as usize).plain != 0 && mayBring(q.linkAt)) return 1;
  }
  return 0;
}
