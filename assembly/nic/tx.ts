// Transmit: frames staged on the port's ring of this lane, all published at the end of the round.
// Called by the loop's verdicts. Every lane has a transmit ring of its own at every port, so nothing is shared; where a
// NIC has fewer, the frame goes to the lane that transmits for the others.
import {
  CounterBlock, DESC_LEN, MAX_PORTS, OPT_TRANSMIT, PORT_SIZE, Port, PortFlag, RING_SIZE, Ring,
} from "../layout.gen";
import { header, lane, self } from "../core/lane";
import { freeFrame } from "../mem/frames";
import { lend } from "./umem";
import { descAddr, entry, peek, push, release, reserve, ringAt, staged, submit } from "../mem/ring";

/** Rings in LaneState.touched with something staged. */
let touched: u32 = 0;

/** The port `ifindex`, null when there is none or it is down. */
// @ts-ignore: decorator
@inline export function portUp(ifindex: u32): Port {
  if (ifindex - 1 >= MAX_PORTS - 1) return changetype<Port>(0);
  const port = changetype<Port>((header().portsAt + ifindex * PORT_SIZE) as usize);
  return port.flags & PortFlag.UP ? port : changetype<Port>(0);
}

/** Stages a descriptor on any ring of this lane; `flush` publishes it. False when the ring is full. */
// @ts-ignore: decorator
@inline export function stage(r: Ring, addr: u32, len: u32, options: u32): bool {
  const first = staged(r) == 0;
  if (!push(r, addr, len, options)) return false;
  if (first) store<u32>((self().touchedAt + (touched++ << 2)) as usize, <u32>changetype<usize>(r));
  return true;
}

/** Packets that this lane can still stage for the wire of `port`, at most `n`. */
export function roomAt(port: Port, n: u32): u32 {
  const r = ringAt(port.txAt + lane * RING_SIZE);
  return reserve(r.slots != 0 ? r : ringAt(self().outboundAt + port.txLane * RING_SIZE), n);
}

/** Stages a packet on the wire of `port`. False when its ring is full: the frame is still the caller's. */
// @ts-ignore: decorator
@inline export function transmit(port: Port, addr: u32, len: u32): bool {
  const r = ringAt(port.txAt + lane * RING_SIZE);
  return r.slots != 0 ? stage(r, addr, len, 0) : handOver(port, addr, len);
}

/** To the lane that transmits for those without a ring of their own at this port. */
function handOver(port: Port, addr: u32, len: u32): bool {
  return stage(ringAt(self().outboundAt + port.txLane * RING_SIZE), addr, len, port.ifindex | OPT_TRANSMIT);
}

/** Counts what was published on a transmit ring from `from` on: once a round, as the entries are in the cache anyway. */
function count(r: Ring, from: u32): void {
  const c = changetype<CounterBlock>(r.countersAt as usize);
  const to = r.cachedProducer;
  let bytes: u64 = 0;
  for (let i = from; i != to; i++) bytes += load<u32>((r.entriesAt + ((i & r.mask) << 4)) as usize, DESC_LEN);
  c.txPackets += to - from;
  c.txBytes += bytes;
}

/** Takes what was sent to a sink off its ring again. */
function drain(r: Ring): void {
  const n = peek(r, r.slots);
  for (let k: u32 = 0; k < n; k++) freeFrame(descAddr(entry(r, k)));
  release(r, n);
}

/** Publishes everything that this round staged. */
export function flush(): void {
  const n = touched;
  const list = self().touchedAt;
  for (let i: u32 = 0; i < n; i++) {
    const r = ringAt(load<u32>((list + (i << 2)) as usize));
    if (r.lender != 0) lend(r);
    const from = r.submitted;
    submit(r);
    // After it, for nobody waits for that. The other side may read the entries meanwhile, and writes nothing there.
    if (r.countersAt != 0) count(r, from);
    if (r.consumerView != 0) drain(ringAt(r.consumerView));
  }
  touched = 0;
}
