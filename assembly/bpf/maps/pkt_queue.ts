// BPF_MAP_TYPE_PKT_QUEUE, which eTran adds to the kernel: buckets that packets wait in, first in, first out. Every lane
// has buckets of its own, as if the map were per CPU: no lock, no atomic. Programs reach it through kfuncs only
// (bpf/kfuncs/pkt_queue.ts); the loop puts a packet in when the verdict is XDP_REDIRECT (core/forward.ts).
//
//   aux1: PacketQueueLane[lanes]   dataAt: PacketBucket[lanes][maxEntries]    queuedAt: QueuedFrame[frameCount], of the engine
//   │ queued taken refused │       │ head tail count │ head tail … │          │ len … next addr │ one per frame, at its number
//                                      └──▶ frame 12 ─next─▶ frame 3 ─next─▶ 0             aux0: slots of a bucket
//   aux2: per lane a bit per bucket that is not empty, and a bit per word of those (aux3 bytes): whoever goes from bucket
//         to bucket, as a timing wheel does, passes over empty ones 4096 at a time
//
// The chain from a bucket's head is the truth: one store puts a packet in it, one takes it out. A lane that dies between
// two stores leaves tails, counts and bits that `mendQueue` makes anew. Slots (map_extra) are a limit, not reserved memory.
import {
  DropReason, FRAME_SIZE, PACKET_BUCKET_SIZE, PACKET_QUEUE_LANE_SIZE, PORT_SIZE, PacketBucket, PacketQueueLane, Port,
  QUEUED_FRAME_SIZE, QueuedFrame, XdpContext,
} from "../../layout.gen";
import { blockOf, countDrop, countIn } from "../../core/counters";
import { header, lane, packetAt } from "../../core/lane";
import { freeFrame } from "../../mem/frames";
import { head } from "./map";

// @ts-ignore: decorator
@inline function laneOf(map: usize, index: u32): PacketQueueLane {
  return changetype<PacketQueueLane>((head(map).aux1 + index * PACKET_QUEUE_LANE_SIZE) as usize);
}

// @ts-ignore: decorator
@inline function bucketOf(map: usize, index: u32, bucket: u32): PacketBucket {
  return changetype<PacketBucket>((head(map).dataAt + index * head(map).laneStride + bucket * PACKET_BUCKET_SIZE) as usize);
}

/** Record of the frame of number `n` - 1. */
// @ts-ignore: decorator
@inline function recordOf(n: u32): QueuedFrame {
  return changetype<QueuedFrame>((header().queuedAt + (n - 1) * QUEUED_FRAME_SIZE) as usize);
}

/** Bits of this lane's buckets: a word per 64 of them. */
// @ts-ignore: decorator
@inline function bitsOf(map: usize, index: u32): usize { return (head(map).aux2 + index * head(map).aux3) as usize; }

/** Words that the bits of the buckets take; the bits of these words lie behind them. */
// @ts-ignore: decorator
@inline function wordsOf(map: usize): u32 { return (head(map).maxEntries + 63) >> 6; }

function setBit(map: usize, index: u32, bucket: u32): void {
  const bits = bitsOf(map, index);
  const word = bucket >> 6;
  const at = bits + (word << 3);
  store<u64>(at, load<u64>(at) | ((1 as u64) << (bucket & 63)));
  const above = bits + ((wordsOf(map) + (word >> 6)) << 3);
  store<u64>(above, load<u64>(above) | ((1 as u64) << (word & 63)));
}

function clearBit(map: usize, index: u32, bucket: u32): void {
  const bits = bitsOf(map, index);
  const word = bucket >> 6;
  const at = bits + (word << 3);
  const left = load<u64>(at) & ~((1 as u64) << (bucket & 63));
  store<u64>(at, left);
  if (left != 0) return;
  const above = bits + ((wordsOf(map) + (word >> 6)) << 3);
  store<u64>(above, load<u64>(above) & ~((1 as u64) << (word & 63)));
}

/** The first bucket of this lane from `from` on that is not empty; maxEntries when there is none up to the last. */
export function firstFrom(map: usize, from: u32): u32 {
  const none = head(map).maxEntries;
  if (from >= none) return none;
  const bits = bitsOf(map, lane);
  const words = wordsOf(map);
  let word = from >> 6;
  let found = load<u64>(bits + (word << 3)) & (<u64>-1 << (from & 63));
  if (found == 0) {
    const last = (words - 1) >> 6;
    // Words behind this one; a shift by 64 would be one by 0.
    let group = (word + 1) >> 6;
    if (group > last) return none;
    let some = load<u64>(bits + ((words + group) << 3)) & (<u64>-1 << ((word + 1) & 63));
    while (some == 0) {
      if (++group > last) return none;
      some = load<u64>(bits + ((words + group) << 3));
    }
    word = (group << 6) + <u32>ctz<u64>(some);
    found = load<u64>(bits + (word << 3));
  }
  return (word << 6) + <u32>ctz<u64>(found);
}

// @ts-ignore: decorator
@inline export function bucketFull(map: usize, bucket: u32): bool {
  return bucketOf(map, lane, bucket).count >= head(map).aux0;
}

// @ts-ignore: decorator
@inline export function bucketEmpty(map: usize, bucket: u32): bool {
  return bucketOf(map, lane, bucket).head == 0;
}

/** Counts a packet that found its bucket full. */
export function countRefused(map: usize): void {
  laneOf(map, lane).refused++;
}

/** Appends the packet of `x` to a bucket of this lane, which has room. `ifindex`: the port that it has to do with. */
export function putPacket(map: usize, bucket: u32, x: XdpContext, ifindex: u32): void {
  const addr = x.data - <u32>packetAt;
  const n = addr / FRAME_SIZE + 1;
  const q = recordOf(n);
  q.len = x.dataEnd - x.data;
  q.stream = x.rxQueueIndex;
  q.ifindex = ifindex;
  q.transport = x.ingressIfindex;
  q.next = 0;
  q.addr = addr;
  q.leaves = x.egressIfindex;
  const b = bucketOf(map, lane, bucket);
  if (b.head == 0) {
    b.head = n;
    setBit(map, lane, bucket);
  } else recordOf(b.tail).next = n;
  b.tail = n;
  b.count++;
  laneOf(map, lane).queued++;
}

/** The oldest packet of a bucket of this lane; null when it is empty. */
// @ts-ignore: decorator
@inline export function oldest(map: usize, bucket: u32): QueuedFrame {
  const n = bucketOf(map, lane, bucket).head;
  return n == 0 ? changetype<QueuedFrame>(0) : recordOf(n);
}

/** Takes the oldest packet, `q`, out of its bucket. The frame is the caller's. */
export function takeOldest(map: usize, bucket: u32, q: QueuedFrame): void {
  const b = bucketOf(map, lane, bucket);
  const next = q.next;
  b.head = next;
  b.count--;
  if (next == 0) clearBit(map, lane, bucket);
  laneOf(map, lane).taken++;
}

/**
 * For the host, while no lane uses the map: takes every packet out and drops it, counted at its port as the host's.
 * Returns how many.
 */
export function pkt_queue_purge(map: usize): u32 {
  const h = head(map);
  let dropped: u32 = 0;
  for (let l: u32 = 0; l < h.lanes; l++)
    for (let i: u32 = 0; i < h.maxEntries; i++) {
      const b = bucketOf(map, l, i);
      for (let n = b.head; n != 0; n = recordOf(n).next) {
        const q = recordOf(n);
        countIn(blockOf(changetype<Port>((header().portsAt + q.ifindex * PORT_SIZE) as usize), 0, lane));
        countDrop(DropReason.PKT_QUEUE_CLOSED);
        freeFrame(q.addr);
        dropped++;
      }
      if (b.head != 0) clearBit(map, l, i);
      b.head = 0;
      b.count = 0;
    }
  return dropped;
}

/** Tails, counts and bits made anew from the chains. Returns 0: no packet is lost by it. */
export function mendQueue(map: usize): u32 {
  const h = head(map);
  for (let l: u32 = 0; l < h.lanes; l++)
    for (let i: u32 = 0; i < h.maxEntries; i++) {
      const b = bucketOf(map, l, i);
      let count: u32 = 0;
      let tail: u32 = 0;
      for (let n = b.head; n != 0; n = recordOf(n).next) {
        tail = n;
        count++;
      }
      b.tail = tail;
      b.count = count;
      if (count != 0) setBit(map, l, i);
      else clearBit(map, l, i);
    }
  return 0;
}
