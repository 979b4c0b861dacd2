/**
 * Rings of our own making: memory in the arena and one view per side (see assembly/mem/ring.ts for the picture).
 * The host allocates them; lanes, links and the host's end drive them with the verbs of the core.
 */
import { EtherloomError } from '../errors.js';
import {
  DESC_SIZE,
  RING_CONSUMER,
  RING_ENTRIES,
  RING_FLAGS,
  RingLayout,
  RingView,
} from '../layout/layout.gen.js';
import type { Arena } from './arena.js';
import type { Core } from './core.js';

/** A packet that reached the host. */
export interface Packet {
  /** A copy of its bytes. */
  data: Uint8Array;
  /** Port it came from (pass and socket rings) or leaves by (transmit rings). */
  ifindex: number;
  queue: number;
  /** Bytes of metadata that the program left before it, when there are any. */
  meta?: Uint8Array;
}

/** Where the words of a ring lie, as read from the kernel or chosen by us. Arena addresses. */
export interface RingPlace {
  producerAt: number;
  consumerAt: number;
  flagsAt: number;
  entriesAt: number;
  /** Entries, a power of two. */
  slots: number;
}

/** Reserves and clears a ring. @throws EtherloomError ERR_RING_SIZE, ERR_ARENA_FULL */
export function allocRing(arena: Arena, slots: number, entryBytes: number = DESC_SIZE): RingPlace {
  if (!Number.isInteger(slots) || slots < 2 || slots > 1 << 20 || slots & (slots - 1))
    throw new EtherloomError('ERR_RING_SIZE', `a ring of ${slots} entries`, {
      expected: 'a power of two from 2 to 1,048,576',
    });
  const bytes = RING_ENTRIES + slots * entryBytes;
  const at = arena.rings.alloc(bytes, 64);
  arena.u8.fill(0, at, at + bytes);
  return {
    producerAt: at,
    consumerAt: at + RING_CONSUMER,
    flagsAt: at + RING_FLAGS,
    entriesAt: at + RING_ENTRIES,
    slots,
  };
}

/** Reserves `count` adjacent views, all without a ring (slots 0). Returns the address of the first. */
export function allocViews(arena: Arena, count: number): number {
  const bytes = RingLayout.size * count;
  const at = arena.rings.alloc(bytes, 64);
  arena.u8.fill(0, at, at + bytes);
  return at;
}

/** Points the view at `viewAt` to a ring; cursors start where the ring's words stand. */
export function bindView(arena: Arena, viewAt: number, ring: RingPlace, wakeLane?: number): void {
  const producer = Atomics.load(arena.u32, ring.producerAt >> 2);
  const consumer = Atomics.load(arena.u32, ring.consumerAt >> 2);
  Object.assign(new RingView(arena.dv, viewAt), {
    producerAt: ring.producerAt,
    consumerAt: ring.consumerAt,
    flagsAt: ring.flagsAt,
    entriesAt: ring.entriesAt,
    slots: ring.slots,
    mask: ring.slots - 1,
    cachedProducer: producer,
    cachedConsumer: consumer,
    submitted: producer,
    wakeLane: wakeLane === undefined ? 0 : wakeLane + 1,
  });
}

/** Both views of a ring in the same arena. */
export interface RingPair {
  ring: RingPlace;
  /** Address of the producer's view. */
  producer: number;
  /** Address of the consumer's view. */
  consumer: number;
}

/** A new ring with a view for each side. `wakeLane` is the lane that consumes it, if it is a lane. */
export function createRing(arena: Arena, slots: number, wakeLane?: number): RingPair {
  const ring = allocRing(arena, slots);
  const producer = allocViews(arena, 1);
  const consumer = allocViews(arena, 1);
  bindView(arena, producer, ring, wakeLane);
  bindView(arena, consumer, ring);
  return { ring, producer, consumer };
}

/** Entries published and not yet released in the ring that the view at `viewAt` names. */
export function pendingIn(arena: Arena, viewAt: number): number {
  const v = new RingView(arena.dv, viewAt);
  if (v.slots === 0) return 0;
  return (Atomics.load(arena.u32, v.producerAt >> 2) - Atomics.load(arena.u32, v.consumerAt >> 2)) >>> 0;
}

/**
 * Hands up to `max` packets of a consumer view to `take` and frees their frames. The bytes given are a view of the
 * frame, good during the call only. Returns packets taken.
 */
export function drainRing(
  arena: Arena,
  core: Core,
  viewAt: number,
  max: number,
  take: (data: Uint8Array, options: number, at: number) => void,
): number {
  const x = core.exports;
  // Infinity would become 0 on its way into Wasm.
  const n = x.ring_peek(viewAt, Math.min(max, 0x7fffffff));
  const packetAt = arena.header.packetAt;
  for (let k = 0; k < n; k++) {
    const d = x.ring_entry(viewAt, k) >>> 0;
    const at = packetAt + arena.u32[d >> 2];
    const len = arena.u32[(d >> 2) + 2];
    take(arena.u8.subarray(at, at + len), arena.u32[(d >> 2) + 3], at);
  }
  x.ring_discard(viewAt, n);
  return n;
}
