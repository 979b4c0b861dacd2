/**
 * pkt_queue, which eTran adds to the kernel: buckets × slots of packets. Programs put packets in and take them out through
 * kfuncs, every lane in buckets of its own (assembly/bpf/maps/pkt_queue.ts); the host counts them, and drops what is
 * left at the map's end.
 */
import {
  FRAME_SIZE,
  PacketBucketLayout,
  PacketQueueLaneLayout,
  PacketQueueLaneView,
  QueuedFrameLayout,
} from '../../layout/layout.gen.js';
import { BpfMap } from './map.js';

/** Since the map was made; packets. */
export interface PktQueueCounts {
  /** Put into a bucket. */
  queued: number;
  /** Taken out by a program. */
  taken: number;
  /** That found their bucket full (-ENOSPC). */
  refused: number;
}

export class PktQueueMap extends BpfMap {
  /** Slots of each bucket (map_extra). */
  get slots(): number {
    return this.header.aux0;
  }

  /** Packets that wait in a bucket of lane `lane`. While that lane runs, of a moment ago. */
  held(bucket: number, lane = 0): number {
    if (!Number.isInteger(bucket) || bucket < 0 || bucket >= this.maxEntries)
      throw this.error('EINVAL', `bucket ${bucket}`, `0 to ${this.maxEntries - 1}`);
    return this.arena.u32[(this.#bucket(lane, bucket) + PacketBucketLayout.count) >>> 2];
  }

  /** What lanes counted; of all of them together without `lane`. */
  counts(lane?: number): PktQueueCounts {
    const sum: PktQueueCounts = { queued: 0, taken: 0, refused: 0 };
    const { lanes, aux1 } = this.header;
    for (let i = 0; i < lanes; i++) {
      if (lane !== undefined && i !== lane) continue;
      const c = new PacketQueueLaneView(this.arena.dv, aux1 + i * PacketQueueLaneLayout.size);
      sum.queued += Number(c.queued);
      sum.taken += Number(c.taken);
      sum.refused += Number(c.refused);
    }
    return sum;
  }

  /** @internal Addresses, relative to the packet area, of the packets that wait in buckets of lane `lane`, by their chains. */
  *frames(lane: number): Generator<number> {
    const { u32, header } = this.arena;
    for (let i = 0; i < this.maxEntries; i++) {
      let n = u32[(this.#bucket(lane, i) + PacketBucketLayout.head) >>> 2];
      // A chain that the dead left is whole; one longer than there are frames would be none.
      for (let k = 0; n !== 0 && k < header.frameCount; k++) {
        yield (n - 1) * FRAME_SIZE;
        n = u32[(header.queuedAt + (n - 1) * QueuedFrameLayout.size + QueuedFrameLayout.next) >>> 2];
      }
    }
  }

  /** Drops every packet in it: counted at the port that it was to leave by, as PKT_QUEUE_CLOSED. */
  protected override onDestroy(): void {
    this.core.exports.pkt_queue_purge(this.addr);
  }

  #bucket(lane: number, bucket: number): number {
    const { dataAt, laneStride } = this.header;
    return dataAt + lane * laneStride + bucket * PacketBucketLayout.size;
  }
}
