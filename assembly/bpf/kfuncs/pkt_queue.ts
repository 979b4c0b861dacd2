// Kfuncs on packets that wait: into a bucket of a pkt_queue, out of it again, and away. Names and meaning are eTran's.
// A packet that was taken out (struct xdp_frame: its QueuedFrame) is the program's until bpf_packet_send or
// bpf_packet_drop; the verifier sees to it that one of them is called on every path, once.
import { DropReason, ETH_OVERHEAD, PORT_SIZE, Port, QueuedFrame, XdpContext } from "../../layout.gen";
import { block, blockOf, countDrop, countIn } from "../../core/counters";
import { header, lane, packetAt, self } from "../../core/lane";
import { RedirectKind, clearRedirect, setRedirect } from "../../core/redirect";
import { roomToTake } from "../../core/room";
import { freeFrame } from "../../mem/frames";
import { flush, portUp, roomAt, transmit } from "../../nic/tx";
import { EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENODEV, ENOSPC } from "../helpers/errno";
import { head } from "../maps/map";
import { bucketEmpty, bucketFull, countRefused, firstFrom, oldest, takeOldest } from "../maps/pkt_queue";

/** Packets that programs of this lane took out and neither sent nor dropped yet. */
let held: u32 = 0;

/**
 * Notes that the packet goes into `bucket` if the verdict is XDP_REDIRECT. 0; -EINVAL: no such bucket; -ENOSPC: it is
 * full, and XDP_REDIRECT then drops the packet.
 */
export function bpf_pkt_queue_enqueue(ctx: usize, map: usize, bucket: u64): i32 {
  if (bucket >= (head(map).maxEntries as u64)) {
    clearRedirect();
    return -EINVAL;
  }
  if (bucketFull(map, <u32>bucket)) {
    countRefused(map);
    setRedirect(RedirectKind.PKT_QUEUE_FULL, 0, 0, 0, 0);
    return -ENOSPC;
  }
  setRedirect(RedirectKind.PKT_QUEUE, <u32>bucket, 0, <u32>map, 0);
  return 0;
}

/**
 * Takes the oldest packet out. NULL: there is none, or it would be lost for want of room: in the transmit ring of the port
 * that it was about to leave by, in a lossless lane in any ring.
 */
export function bpf_pkt_queue_dequeue(map: usize, bucket: u64): usize {
  if (bucket >= (head(map).maxEntries as u64)) return 0;
  const q = oldest(map, <u32>bucket);
  if (changetype<usize>(q) == 0 || !roomToTake(self(), held)) return 0;
  const port = portUp(q.leaves);
  if (changetype<usize>(port) != 0 && roomAt(port, held + 1) <= held) return 0;
  takeOldest(map, <u32>bucket, q);
  held++;
  return changetype<usize>(q);
}

/** 1 when no packet waits in the bucket, or there is no such bucket. */
export function bpf_pkt_queue_empty(map: usize, bucket: u64): u64 {
  return bucket >= (head(map).maxEntries as u64) || bucketEmpty(map, <u32>bucket) ? 1 : 0;
}

/**
 * The first bucket from `from` on in which a packet waits, around the end and up to the one before; max_entries when
 * there is none.
 */
export function el_pkt_queue_next(map: usize, from: u64): u64 {
  const count = head(map).maxEntries;
  const start = from < (count as u64) ? <u32>from : 0;
  const found = firstFrom(map, start);
  if (found < count || start == 0) return found;
  const around = firstFrom(map, 0);
  return around < start ? around : count;
}

// @ts-ignore: decorator
@inline function portOf(ifindex: u32): Port {
  return changetype<Port>((header().portsAt + ifindex * PORT_SIZE) as usize);
}

/** Drops `q`, counted at its port; the counters in hand stay those of the packet that the program runs for. */
function drop(q: QueuedFrame, reason: DropReason): void {
  const before = block;
  countIn(blockOf(portOf(q.ifindex), 0, lane));
  countDrop(reason);
  countIn(before);
  freeFrame(q.addr);
}

/**
 * Sends the packet out of port `ifindex`, past its XDP_EGRESS. 0, or why it was dropped: -ENODEV: no such port;
 * -EMSGSIZE: longer than the port takes; -ENOBUFS: the transmit ring is full.
 */
export function bpf_packet_send(frame: usize, ifindex: u32): i32 {
  const q = changetype<QueuedFrame>(frame);
  held--;
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) {
    drop(q, DropReason.REDIRECT_NO_PORT);
    return -ENODEV;
  }
  if (q.len > port.mtu + ETH_OVERHEAD) {
    drop(q, DropReason.REDIRECT_TOO_LONG);
    return -EMSGSIZE;
  }
  if (!transmit(port, q.addr, q.len)) {
    drop(q, DropReason.TX_FULL);
    return -ENOBUFS;
  }
  return 0;
}

export function bpf_packet_drop(frame: usize): void {
  held--;
  drop(changetype<QueuedFrame>(frame), DropReason.PACKET_DROP);
}

/** Publishes what was sent now rather than at the end of the round. */
export function bpf_packet_flush(): void {
  flush();
}

// @ts-ignore: decorator
@inline function bytesAt(q: QueuedFrame, off: u32, len: u32): usize {
  if ((off as u64) + len > q.len) return 0;
  return packetAt + q.addr + off;
}

/** Copies bytes out of a packet that was taken out. 0, or -EFAULT beyond its end. */
export function el_frame_load(frame: usize, off: u32, to: usize, size: u32): i32 {
  const at = bytesAt(changetype<QueuedFrame>(frame), off, size);
  if (at == 0) return -EFAULT;
  memory.copy(to, at, size);
  return 0;
}

/** Copies bytes into it. 0, or -EFAULT beyond its end. */
export function el_frame_store(frame: usize, off: u32, from: usize, size: u32): i32 {
  const at = bytesAt(changetype<QueuedFrame>(frame), off, size);
  if (at == 0) return -EFAULT;
  memory.copy(at, from, size);
  return 0;
}
