// Redirects: takes the packet in hand where core/redirect.ts says. Called by the loop for XDP_REDIRECT and by the stack
// for TC_ACT_REDIRECT. Promises that the frame ends in exactly one place, with a drop counted if that is the pool.
//
//   PORT       egress program of the map entry → transmit ring of this lane at that port
//   BROADCAST  one clone per entry of the devmap, the original to the last
//   LANE       lane link, with the cpumap program's slot in the options
//   SOCKET     ring of the application socket bound to this very queue
//   PKT_QUEUE  a bucket of the map, of this lane
import {
  DropReason, ETH_OVERHEAD, OPT_META_SHIFT, OPT_QUEUE_SHIFT, OPT_SLOT_SHIFT, Port,
  Queue, QUEUE_SIZE, RING_SIZE, XdpAction, XdpContext, NO_FRAME,
} from "../layout.gen";
import { countDrop, counters } from "./counters";
import { runProgram } from "./hooks";
import { header, packetAt, self } from "./lane";
import { BPF_F_EXCLUDE_INGRESS, egressSlot, flags, kind, mapAt, RedirectKind, target } from "./redirect";
import { putPacket } from "../bpf/maps/pkt_queue";
import { redirectEntries, redirectEntry } from "../bpf/maps/redirect_entries";
import { copyPacket } from "../mem/copy";
import { allocFrame, frameOf, freeFrame } from "../mem/frames";
import { ringAt } from "../mem/ring";
import { portUp, stage, transmit } from "../nic/tx";

/** Counts a drop and frees the frame. */
export function dropFrame(addr: u32, reason: DropReason): void {
  countDrop(reason);
  freeFrame(addr);
}

/** Sends the packet in `x` out of port `ifindex`, through the egress program in `slot` if there is one. False: dropped. */
function toPort(x: XdpContext, frame: u32, ifindex: u32, slot: u32): bool {
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) {
    dropFrame(frame, DropReason.REDIRECT_NO_PORT);
    return false;
  }
  // xdp_ok_fwd_dev: a packet longer than the device takes is refused before its egress program.
  if (x.dataEnd - x.data > port.mtu + ETH_OVERHEAD) {
    dropFrame(frame, DropReason.REDIRECT_TOO_LONG);
    return false;
  }
  if (slot != 0) {
    const before = x.egressIfindex;
    x.egressIfindex = ifindex;
    const act = runProgram(slot, changetype<usize>(x));
    x.egressIfindex = before;
    if (act != XdpAction.PASS) {
      dropFrame(frame, DropReason.EGRESS_PROGRAM);
      return false;
    }
  }
  if (!transmit(port, x.data - <u32>packetAt, x.dataEnd - x.data)) {
    dropFrame(frame, DropReason.TX_FULL);
    return false;
  }
  return true;
}

/** Copies the packet in `x` to a new frame and sends that. The context is as before afterwards. */
function cloneTo(x: XdpContext, ifindex: u32, slot: u32): void {
  const data = x.data;
  const end = x.dataEnd;
  const meta = x.dataMeta;
  const start = x.hardStart;
  const clone = allocFrame();
  if (clone == NO_FRAME) {
    countDrop(DropReason.NO_FRAME);
    return;
  }
  const to = <u32>packetAt + clone;
  copyPacket((to + (data - start)) as usize, data as usize, end - data);
  x.hardStart = to;
  x.data = to + (data - start);
  x.dataEnd = x.data + (end - data);
  x.dataMeta = x.data;
  x.frameEnd = to + (x.frameEnd - start);
  counters().clones++;
  toPort(x, clone, ifindex, slot);
  x.frameEnd = start + (x.frameEnd - to);
  x.data = data;
  x.dataEnd = end;
  x.dataMeta = meta;
  x.hardStart = start;
}

/** Every entry of the devmap but the packet's own port, if flags say so. As in the kernel, the last gets the original. */
function broadcast(port: Port, x: XdpContext, frame: u32): void {
  const map = mapAt;
  const except = flags & BPF_F_EXCLUDE_INGRESS ? port.ifindex : 0;
  const entries = redirectEntries(map);
  let lastPort: u32 = 0;
  let lastSlot: u32 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    const at = redirectEntry(map, i);
    const ifindex = load<u32>(at);
    if (ifindex == 0 || ifindex == except) continue;
    if (changetype<usize>(portUp(ifindex)) == 0) continue;
    if (lastPort != 0) cloneTo(x, lastPort, lastSlot);
    lastPort = ifindex;
    lastSlot = load<u32>(at, 4);
  }
  if (lastPort == 0) dropFrame(frame, DropReason.REDIRECT_NO_TARGET);
  else if (toPort(x, frame, lastPort, lastSlot)) counters().redirect++;
}

/** Takes the packet in `x`, of frame `frame`, that came in at `port` or is about to leave by it, where the program wanted it. */
export function forward(port: Port, queue: u32, x: XdpContext, frame: u32): void {
  const addr = x.data - <u32>packetAt;
  const len = x.dataEnd - x.data;
  switch (kind) {
    case RedirectKind.PORT: {
      if (toPort(x, frame, target, egressSlot)) counters().redirect++;
      return;
    }
    case RedirectKind.BROADCAST: {
      broadcast(port, x, frame);
      return;
    }
    case RedirectKind.LANE: {
      if (target >= header().laneCount) {
        dropFrame(frame, DropReason.REDIRECT_NO_LANE);
        return;
      }
      const link = ringAt(self().outboundAt + target * RING_SIZE);
      if (!stage(link, addr, len, port.ifindex | (queue << OPT_QUEUE_SHIFT) | (egressSlot << OPT_SLOT_SHIFT)))
        dropFrame(frame, DropReason.LANE_FULL);
      else counters().redirect++;
      return;
    }
    case RedirectKind.SOCKET: {
      // A socket takes packets only from the queue that it is bound to (xsk_rcv_check).
      const socket = changetype<Queue>((port.queuesAt + queue * QUEUE_SIZE) as usize).socketAt;
      if (socket == 0 || target != ((port.ifindex << OPT_QUEUE_SHIFT) | queue)) {
        dropFrame(frame, DropReason.REDIRECT_NO_SOCKET);
        return;
      }
      const meta = x.dataMeta <= x.data ? x.data - x.dataMeta : 0;
      const options = port.ifindex | (queue << OPT_QUEUE_SHIFT) | (meta << OPT_META_SHIFT);
      if (!stage(ringAt(socket), addr, len, options)) dropFrame(frame, DropReason.SOCKET_FULL);
      else counters().redirect++;
      return;
    }
    case RedirectKind.PKT_QUEUE: {
      putPacket(mapAt as usize, target, x, port.ifindex);
      counters().redirect++;
      return;
    }
    case RedirectKind.PKT_QUEUE_FULL: {
      dropFrame(frame, DropReason.PKT_QUEUE_FULL);
      return;
    }
    default:
      dropFrame(frame, DropReason.REDIRECT_NO_TARGET);
  }
}
