/**
 * The kernel's four rings, mapped over pages of the arena, so that lanes drive them like any other ring.
 *
 *   arena.rings  │ … │ page │ producer · consumer · flags · entries │ page │ …
 *                           └────────── mmap(MAP_FIXED) ────────────┘
 *
 * Where the words lie is the kernel's to say (XDP_MMAP_OFFSETS). While nothing is mapped the pages hold a ring without
 * entries, so whoever looks finds nothing. Called by the AF_XDP NIC; lanes stand still when mappings change.
 */
import { DESC_SIZE, PAGE } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { RingPlace } from '../../mem/ring.js';
import type { Native } from '../../native/load.js';

export type RingKind = 'rx' | 'tx' | 'fill' | 'completion';

/** struct xdp_ring_offset. */
export interface RingOffsets {
  producer: number;
  consumer: number;
  entries: number;
  flags: number;
}

/** Where mmap(2) of the socket finds each ring: XDP_PGOFF_* and XDP_UMEM_PGOFF_*. */
const PAGE_OFFSET: Record<RingKind, number> = {
  rx: 0,
  tx: 0x80000000,
  fill: 0x100000000,
  completion: 0x180000000,
};
/** Bytes of an entry of the fill and completion rings: an address. */
const ADDRESS_SIZE = 8;

export class KernelRing {
  #mapped = false;

  private constructor(
    readonly arena: Arena,
    readonly kind: RingKind,
    readonly at: number,
    readonly bytes: number,
    readonly place: RingPlace,
  ) {}

  /** Reserves pages for a ring. @throws EtherloomError ERR_ARENA_FULL */
  static create(arena: Arena, kind: RingKind, slots: number, offsets: RingOffsets): KernelRing {
    const entryBytes = kind === 'rx' || kind === 'tx' ? DESC_SIZE : ADDRESS_SIZE;
    const bytes = Math.ceil((offsets.entries + slots * entryBytes) / PAGE) * PAGE;
    const at = arena.rings.alloc(bytes, PAGE, `${kind} ring of ${slots} entries (ringSlots of the NIC)`);
    arena.u8.fill(0, at, at + bytes);
    return new KernelRing(arena, kind, at, bytes, {
      producerAt: at + offsets.producer,
      consumerAt: at + offsets.consumer,
      flagsAt: at + offsets.flags,
      entriesAt: at + offsets.entries,
      slots,
    });
  }

  /** Maps the ring of a socket here. Returns 0, or -errno. */
  map(native: Native, fd: number): number {
    const rc = native.mapFixed(fd, PAGE_OFFSET[this.kind], this.#pages());
    if (rc >= 0) this.#mapped = true;
    return rc;
  }

  /** Puts anonymous memory back: an empty ring of our own. False when the kernel refuses: the ring is still mapped. */
  unmap(native: Native): boolean {
    if (this.#mapped) this.#mapped = native.unmapFixed(this.#pages()) < 0;
    return !this.#mapped;
  }

  #pages(): Uint8Array {
    return this.arena.u8.subarray(this.at, this.at + this.bytes);
  }

  /** Addresses of frames in entries published and not yet taken. */
  *addresses(): Generator<number> {
    const { arena, place, kind } = this;
    const shift = kind === 'rx' || kind === 'tx' ? 4 : 3;
    const to = Atomics.load(arena.u32, place.producerAt >> 2);
    for (let i = Atomics.load(arena.u32, place.consumerAt >> 2); i !== to; i = (i + 1) >>> 0)
      yield arena.u32[(place.entriesAt + ((i & (place.slots - 1)) << shift)) >> 2];
  }

  /** A copy of what the pages hold, to be put back after the ring was unmapped. */
  save(): Uint8Array {
    return this.#pages().slice();
  }

  restore(saved: Uint8Array): void {
    this.#pages().set(saved);
  }
}
