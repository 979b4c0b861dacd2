/** The table of learned neighbours, seen from the host: making it, reading it, mending it after a crash. */
import { EtherloomError } from '../errors.js';
import {
  ARENA_HEADER_AT,
  ArenaHeaderLayout,
  LearnedLayout,
  LearnedTableLayout,
  LearnedTableView,
  LearnedView,
  NeighbourState,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { formatIp, formatMac } from '../wire/address.js';

/** Times of neighbour unreachability detection, ms. RFC 4861 §10 has the defaults. */
export interface NeighbourOptions {
  /** Neighbours that are remembered, a power of two; in a crowd the longest unused makes room. Default 1024. */
  neighbours?: number;
  /** How long an answer proves that a neighbour can be reached. Default 30,000. */
  reachableMs?: number;
  /** From the first use of an older entry until it is asked again. Default 5000. */
  delayMs?: number;
  /** Between two requests. Default 1000. */
  retransMs?: number;
  /** Requests without an answer before a neighbour is given up. Default 3. */
  probes?: number;
  /** An entry that no packet used for so long is forgotten. Default 600,000. */
  staleMs?: number;
  /** A neighbour that did not answer is not asked again for so long. Default 1000. */
  failedMs?: number;
}

export interface LearnedNeighbour {
  port: number;
  address: string;
  /** Empty while it is being asked for, and when nobody answered. */
  mac: string;
  state: 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed';
  /** It says that it is a router. */
  router: boolean;
}

const AF_INET6 = 10;
const STATES = Object.fromEntries(
  Object.entries(NeighbourState).map(([name, n]) => [n, name.toLowerCase()]),
) as Record<number, LearnedNeighbour['state']>;

const tableAt = (arena: Arena): number =>
  Atomics.load(arena.u32, (ARENA_HEADER_AT + ArenaHeaderLayout.learnedAt) >> 2);

/** Makes the table, once for an engine. Times given later change it. @throws EtherloomError ERR_RESPONDER, ERR_ARENA_FULL */
export function createNeighbourTable(arena: Arena, options: NeighbourOptions): void {
  const slots = options.neighbours ?? 1024;
  if (!Number.isInteger(slots) || slots < 8 || slots > 1 << 20 || slots & (slots - 1))
    throw new EtherloomError('ERR_RESPONDER', `${slots} neighbours`, {
      expected: 'a power of two from 8 to 1,048,576',
    });
  let at = tableAt(arena);
  const made = at === 0;
  if (made) {
    const entriesAt = arena.scratch.alloc(slots * LearnedLayout.size, 64);
    arena.u8.fill(0, entriesAt, entriesAt + slots * LearnedLayout.size);
    at = arena.scratch.alloc(LearnedTableLayout.size, 64);
    arena.u8.fill(0, at, at + LearnedTableLayout.size);
    Object.assign(new LearnedTableView(arena.dv, at), { entriesAt, mask: slots - 1 });
  }
  const view = new LearnedTableView(arena.dv, at);
  const ns = (ms: number | undefined, usual: number): bigint => BigInt(Math.round((ms ?? usual) * 1e6));
  Object.assign(view, {
    probes: options.probes ?? 3,
    reachableNs: ns(options.reachableMs, 30_000),
    delayNs: ns(options.delayMs, 5000),
    retransNs: ns(options.retransMs, 1000),
    staleNs: ns(options.staleMs, 600_000),
    failedNs: ns(options.failedMs, 1000),
  });
  if (made) Atomics.store(arena.u32, (ARENA_HEADER_AT + ArenaHeaderLayout.learnedAt) >> 2, at);
}

function* entries(arena: Arena): Generator<{ view: LearnedView; at: number }> {
  const at = tableAt(arena);
  if (at === 0) return;
  const table = new LearnedTableView(arena.dv, at);
  for (let i = 0; i <= table.mask; i++) {
    const entry = table.entriesAt + i * LearnedLayout.size;
    yield { view: new LearnedView(arena.dv, entry), at: entry };
  }
}

/** What was learned, on one port or on all. While lanes run, an entry that is being written is left out. */
export function learnedNeighbours(arena: Arena, port?: number): LearnedNeighbour[] {
  const found: LearnedNeighbour[] = [];
  for (const { at } of entries(arena)) {
    // Word by word, in order: a plain copy may be older or newer than what the sequence word says of it.
    const words = Uint32Array.from({ length: LearnedLayout.size / 4 }, (_, i) =>
      Atomics.load(arena.u32, (at >> 2) + i),
    );
    const { sequence, ifindex, family, state, router } = new LearnedView(new DataView(words.buffer), 0);
    if (sequence & 1 || ifindex === 0 || (port !== undefined && port !== ifindex)) continue;
    if (Atomics.load(arena.u32, at >> 2) !== sequence) continue;
    const bytes = new Uint8Array(words.buffer);
    const address = bytes.subarray(LearnedLayout.address).subarray(0, family === AF_INET6 ? 16 : 4);
    const mac = bytes.subarray(LearnedLayout.mac).subarray(0, 6);
    const known = state !== NeighbourState.INCOMPLETE && state !== NeighbourState.FAILED;
    found.push({
      port: ifindex,
      address: formatIp(address),
      mac: known ? formatMac(mac) : '',
      state: STATES[state],
      router: router !== 0,
    });
  }
  return found;
}

/** Frees the entries that a lane was writing when it died. Only while no lane runs. */
export function mendNeighbours(arena: Arena): void {
  for (const { view, at } of entries(arena)) {
    const sequence = Atomics.load(arena.u32, at >> 2);
    if ((sequence & 1) === 0) continue;
    view.ifindex = 0;
    view.state = NeighbourState.NONE;
    Atomics.store(arena.u32, at >> 2, sequence + 1);
  }
}
