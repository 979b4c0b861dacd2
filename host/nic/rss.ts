/**
 * Receive side scaling on the host: the indirection table (hash → queue) in the arena.
 * The hash itself is assembly/nic/rss.ts; whoever steers calls `rss_queue(table.at, rss_hash(data, len))`.
 */
import { EtherloomError } from '../errors.js';
import { RssTableLayout } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';

/** Entries of an indirection table: what most hardware has. */
export const RSS_ENTRIES = 128;

/** 6d5a… : the key that makes Toeplitz symmetric (Woo and Park 2012). */
export const SYMMETRIC_KEY = new Uint8Array(40).map((_, i) => (i & 1 ? 0x5a : 0x6d));

/** The key's first 16 bits, which repeat: key[i …] for input bit i is this, turned left i times. */
const KEY_WORD = 0x6d5a;

/** What `rss_hash` makes of a packet with these addresses and ports: for who must know where it will arrive. Parts have an even length. */
export function rssHashOf(...parts: readonly Uint8Array[]): number {
  let word = 0;
  for (const part of parts) for (let i = 0; i < part.length; i += 2) word ^= (part[i] << 8) | part[i + 1];
  let hash = 0;
  for (let bit = 0; bit < 16; bit++)
    if (word & (0x8000 >> bit)) hash ^= ((KEY_WORD << bit) | (KEY_WORD >> (16 - bit))) & 0xffff;
  return (hash * 0x10001) >>> 0;
}

/** The indirection table of one port. Shared with the lanes: an entry may be changed while traffic flows. */
export class RssTable {
  private constructor(
    readonly arena: Arena,
    /** Arena address, for rss_queue. */
    readonly at: number,
  ) {}

  /** A table in the arena's scratch region that deals the entries to `queues` queues in turn. */
  static create(arena: Arena, queues: number): RssTable {
    const table = new RssTable(arena, arena.scratch.alloc(RssTableLayout.size));
    arena.dv.setUint32(table.at + RssTableLayout.mask, RSS_ENTRIES - 1, true);
    table.spread(queues);
    return table;
  }

  /** Queue of entry `index`. */
  get(index: number): number {
    return this.arena.dv.getUint16(this.#entry(index), true);
  }

  set(index: number, queue: number): void {
    this.arena.dv.setUint16(this.#entry(index), queue, true);
  }

  /** Deals the entries to queues 0 … queues − 1 in turn. @throws EtherloomError ERR_RSS_QUEUES */
  spread(queues: number): void {
    if (!Number.isInteger(queues) || queues < 1 || queues > RSS_ENTRIES)
      throw new EtherloomError('ERR_RSS_QUEUES', `${queues} queues`, {
        expected: `a whole number from 1 to ${RSS_ENTRIES}`,
      });
    for (let i = 0; i < RSS_ENTRIES; i++) this.set(i, i % queues);
  }

  /** Queue for a hash. */
  queue(hash: number): number {
    return this.get(hash & (RSS_ENTRIES - 1));
  }

  free(): void {
    this.arena.scratch.free(this.at);
  }

  #entry(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= RSS_ENTRIES)
      throw new EtherloomError('ERR_RSS_QUEUES', `indirection entry ${index}`, {
        expected: `0 … ${RSS_ENTRIES - 1}`,
      });
    return this.at + RssTableLayout.queues + index * 2;
  }
}
