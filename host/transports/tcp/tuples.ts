/**
 * Which connections there are, by their four parts: what a local port may not be given twice for. Asked of the tables that
 * the programs keep, and of what was asked for here and no lane has taken up yet.
 */
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import type { Arena } from '../../mem/arena.js';
import { parseIp } from '../../wire/address.js';
import type { Endpoint } from '../contract.js';
import { lifeOf } from '../records.js';

/** What the connection tables hold: entry_of of the programs (flow.h). */
export const entryOf = (lane: number, id: number): number => ((lane << 24) | id) >>> 0;

/** Entries of the list of one's own before those that are over are taken out. */
const SWEEP_AT = 1024;

/** `struct tcp_key4` and `struct tcp_key6`. Addresses of 4 bytes stand in the first word of the longer one. */
function keyOf(
  local: Uint8Array,
  remote: Uint8Array,
  localPort: number,
  remotePort: number,
  bytes: 4 | 16,
): Uint8Array {
  const key = new Uint8Array(bytes * 2 + 4);
  key.set(remote);
  key.set(local, bytes);
  const dv = new DataView(key.buffer);
  dv.setUint16(bytes * 2, remotePort);
  dv.setUint16(bytes * 2 + 2, localPort);
  return key;
}

export interface TupleTables {
  /** `tcp4`, `tcp6`: open connections. */
  open(family: 4 | 6): KeyedMap<Uint8Array, unknown>;
  /** `tcp_timewaits`. */
  late(): KeyedMap<Uint8Array, { until_ns: bigint }>;
}

export class Tuples {
  /** Streams that were told to connect, by the text of their tuple. */
  readonly #own = new Map<string, { id: number; life: number }>();
  #sweepAt = SWEEP_AT;

  constructor(
    readonly arena: Arena,
    readonly tables: TupleTables,
    readonly now: () => bigint,
  ) {}

  /** Whether there is such a connection, or was one less than 60 s ago that may have segments under way. */
  taken(local: Endpoint, remote: Endpoint): boolean {
    const text = textOf(local, remote);
    const own = this.#own.get(text);
    if (own) {
      if (lifeOf(this.arena, own.id) === own.life) return true;
      this.#own.delete(text);
    }
    const here = parseIp(local.address);
    const there = parseIp(remote.address);
    const bytes = here.length as 4 | 16;
    if (this.tables.open(bytes === 4 ? 4 : 6).has(keyOf(here, there, local.port, remote.port, bytes)))
      return true;
    const late = this.tables.late().get(keyOf(here, there, local.port, remote.port, 16));
    return late !== undefined && late.until_ns > this.now();
  }

  /** No lane has this connection any more: its entry goes, if it is the one that is meant. */
  drop(local: Endpoint, remote: Endpoint, entry: number): void {
    const here = parseIp(local.address);
    const bytes = here.length as 4 | 16;
    const key = keyOf(here, parseIp(remote.address), local.port, remote.port, bytes);
    const table = this.tables.open(bytes === 4 ? 4 : 6);
    if (Number(table.get(key)) === entry) table.delete(key);
  }

  /** Stream `id` is to be this connection. */
  take(local: Endpoint, remote: Endpoint, id: number): void {
    if (this.#own.size >= this.#sweepAt) this.#sweep();
    this.#own.set(textOf(local, remote), { id, life: lifeOf(this.arena, id) });
  }

  #sweep(): void {
    for (const [text, { id, life }] of this.#own) if (lifeOf(this.arena, id) !== life) this.#own.delete(text);
    this.#sweepAt = Math.max(SWEEP_AT, this.#own.size * 2);
  }
}

const textOf = (local: Endpoint, remote: Endpoint): string =>
  `${local.address} ${local.port} ${remote.address} ${remote.port}`;
