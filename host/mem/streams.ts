/**
 * Streams in the arena: their records, what lanes and applications keep of them, and the memory of their rings.
 *
 *   Stream[count] │ StreamPool │ StreamAhead │ FlowTable[2] │ StreamLane[lanes + 1] │ App[apps + 1] │ AppLane[apps × lanes] │ StreamBlock[…] │ memory
 *
 * Laid out once, when the arena is made; the lanes' side is assembly/stream/.
 */
import { EtherloomError } from '../errors.js';
import {
  AppLaneLayout,
  AppLayout,
  AppView,
  BLOCK_FREE,
  FlowTableLayout,
  MAX_APPS,
  PAGE,
  STREAM_BATCH,
  STREAM_BLOCK,
  STREAM_CACHE,
  STREAM_CLASSES,
  StreamAheadLayout,
  StreamBlockLayout,
  StreamFlag,
  StreamLaneLayout,
  StreamLayout,
  StreamPoolLayout,
  StreamPoolView,
} from '../layout/layout.gen.js';
import type { Arena } from './arena.js';
import type { Core } from './core.js';

export interface StreamOptions {
  /**
   * Records: numbers of streams are 1 … count - 1. 2 to 2^24. Each lane may keep up to a quarter of its share of them
   * (at most 128) that no other lane finds.
   */
  count: number;
  /**
   * Memory for send and receive rings, bytes, from 2 KiB to 16 MiB each. An open stream has its rings for sure, made when
   * they are first used; those of n streams are as large as wanted with n × (send + receive) bytes. With less, the later
   * ones are smaller, down to 2 KiB, and when not even these are left none is opened. With `count` × 10 KiB that
   * does not happen. Rings that grow take at most half of what is nobody's for each step.
   */
  bytes: number;
  /** Applications that there can be at a time, 1 to 64. Default 4. */
  apps?: number;
  /** Entries of a doorbell ring and of an event ring, a power of two. Default 1024. */
  slots?: number;
}

/** Where the parts lie, relative to the first. */
export interface StreamPlan extends Required<StreamOptions> {
  poolAt: number;
  aheadAt: number;
  lanesAt: number;
  appsAt: number;
  endsAt: number;
  blocksAt: number;
  blockCount: number;
  memoryAt: number;
  /** Bytes in all. */
  size: number;
}

/** Most of stream memory that lanes may keep for themselves: parts of one, and bytes. */
const CACHED_SHARE = 1 / 8;
const CACHED_MOST = 2 << 20;
/** Least rings of a stream, bytes, and the part of them more that applications which open streams leave to others. */
const LEAST_RINGS = 2 * STREAM_BLOCK * (9 / 8);

/** Batches of free numbers for each lane, when no stream is open: one keeps at most two. */
const BATCHES = 8;

const alignUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** @throws EtherloomError ERR_ARENA_OPTIONS for sizes that cannot be. */
export function planStreams(options: StreamOptions, lanes: number): StreamPlan {
  const { count, bytes, apps = 4, slots = 1024 } = options;
  const whole = (name: string, n: number, least: number, most: number): void => {
    if (!Number.isInteger(n) || n < least || n > most)
      throw new EtherloomError('ERR_ARENA_OPTIONS', `streams.${name}: ${n}`, {
        expected: `a whole number from ${least} to ${most}`,
      });
  };
  whole('count', count, 2, 2 ** 24);
  whole('bytes', bytes, STREAM_BLOCK, 2 ** 32 - 1);
  whole('apps', apps, 1, MAX_APPS);
  whole('slots', slots, 2, 2 ** 20);
  if (slots & (slots - 1))
    throw new EtherloomError('ERR_ARENA_OPTIONS', `streams.slots: ${slots}`, { expected: 'a power of two' });
  const blockCount = Math.floor(bytes / STREAM_BLOCK);
  let size = count * StreamLayout.size;
  const take = (n: number, align = 64): number => {
    const at = alignUp(size, align);
    size = at + n;
    return at;
  };
  const poolAt = take(StreamPoolLayout.size);
  const aheadAt = take(StreamAheadLayout.size + 2 * FlowTableLayout.size);
  const lanesAt = take(StreamLaneLayout.size * (lanes + 1));
  const appsAt = take(AppLayout.size * (apps + 1));
  const endsAt = take(AppLaneLayout.size * apps * lanes);
  const blocksAt = take(StreamBlockLayout.size * blockCount);
  const memoryAt = take(blockCount * STREAM_BLOCK, PAGE);
  return {
    ...{ count, bytes, apps, slots, poolAt, aheadAt, lanesAt, appsAt, endsAt },
    ...{ blocksAt, blockCount, memoryAt },
    size: alignUp(size, PAGE),
  };
}

/** Bytes of the rings region that the rings of applications take. */
export function appRingBytes({ apps = 4, slots = 1024 }: StreamOptions, lanes: number): number {
  return apps * lanes * 2 * (slots * 16 + 1024);
}

/** Writes the pool of an arena whose header names records and pool, and fills it. `core` is an instance over that arena. */
export function createStreams(arena: Arena, core: Core, options: StreamOptions): void {
  const { header } = arena;
  const plan = planStreams(options, header.laneCount);
  const base = header.streamsAt;
  const pool = new StreamPoolView(arena.dv, header.streamPoolAt);
  Object.assign(pool, {
    aheadAt: base + plan.aheadAt,
    lanesAt: base + plan.lanesAt,
    appsAt: base + plan.appsAt,
    appCount: plan.apps,
    appSlots: plan.slots,
    memoryAt: base + plan.memoryAt,
    blocksAt: base + plan.blocksAt,
    blockCount: plan.blockCount,
    batch: Math.max(1, Math.min(STREAM_BATCH, Math.floor(plan.count / BATCHES / (header.laneCount + 1)))),
  });
  const total = plan.blockCount * STREAM_BLOCK;
  const share = Math.min(total * CACHED_SHARE, CACHED_MOST) / header.laneCount / STREAM_CLASSES;
  let kept = 0;
  for (let c = 0; c < STREAM_CLASSES; c++) {
    const blocks = Math.min(STREAM_CACHE, Math.floor(share / (STREAM_BLOCK << c)));
    arena.u32[((header.streamPoolAt + StreamPoolLayout.laneBlocks) >> 2) + c] = blocks;
    kept += blocks * (STREAM_BLOCK << c);
  }
  // What other lanes keep no lane finds, so it is promised to nobody.
  pool.budget = total - kept * (header.laneCount - 1);
  pool.reserve = Math.min((plan.count - 1) * LEAST_RINGS, Math.floor(pool.budget / 2));
  for (let app = 1; app <= plan.apps; app++)
    new AppView(arena.dv, pool.appsAt + app * AppLayout.size).endsAt =
      base + plan.endsAt + (app - 1) * header.laneCount * AppLaneLayout.size;
  cores.set(arena, core);
  core.exports.stream_rebuild(0xffffffff);
}

/** Instances by which pools are mended. */
const cores = new WeakMap<Arena, Core>();

/**
 * After the death of lane `dead`, while no lane runs: free numbers and memory are made anew from the records, its next
 * life looks at all its streams, and applications at all that they have there (assembly/stream/recover.ts).
 */
export function mendStreams(arena: Arena, dead: number): void {
  cores.get(arena)?.exports.stream_rebuild(dead);
}

/** Whether an application asked something of lane `i` that it has not taken yet, or it looks through its streams. */
export function streamsBusy(arena: Arena, i: number): boolean {
  const { streamPoolAt } = arena.header;
  if (streamPoolAt === 0) return false;
  const pool = new StreamPoolView(arena.dv, streamPoolAt);
  const at = pool.lanesAt + i * StreamLaneLayout.size;
  const word = (offset: number): number => Atomics.load(arena.u32, (at + offset) >> 2);
  for (let bits = 0; bits < pool.appCount; bits += 32)
    if (word(StreamLaneLayout.rung + bits / 8) !== 0) return true;
  return word(StreamLaneLayout.scanWanted) !== 0 || word(StreamLaneLayout.scanAt) !== 0;
}

/** What of stream memory is promised to whom: {@link streamMemory}. Bytes. */
export interface StreamMemory {
  total: number;
  /** That can be promised: all but what lanes may keep for themselves. */
  budget: number;
  /** Least rings of open streams, whether they are made or not. */
  least: number;
  /** What their rings are larger. */
  more: number;
  /** That is kept for the least rings of streams to be opened. */
  reserve: number;
}

/** @throws EtherloomError ERR_STREAMS_NONE in an engine without streams */
export function streamMemory(arena: Arena): StreamMemory {
  const pool = new StreamPoolView(arena.dv, poolOf(arena));
  const { promised, budget, reserve } = pool;
  const least = Number(promised >> 32n);
  const more = Number(promised & 0xffffffffn);
  const total = pool.blockCount * STREAM_BLOCK;
  return { total, budget, least, more, reserve: Math.max(0, reserve - least) };
}

function poolOf({ header }: Arena): number {
  if (header.streamPoolAt !== 0) return header.streamPoolAt;
  throw new EtherloomError('ERR_STREAMS_NONE', 'the engine was made without streams', {
    expected: 'the option streams: { count, bytes }',
  });
}

/** Where every byte of stream memory is. Exact while no lane runs. */
export interface StreamLedger {
  total: number;
  /** In the lists of the pool. */
  free: number;
  /** Kept by lanes. */
  cached: number;
  /** In rings of streams. */
  used: number;
  /** Found nowhere. */
  lost: number;
  /** Found in more than one place. */
  doubled: number;
  /** Streams by state. */
  open: number;
  closed: number;
  /** Free numbers, and those found in no list of free numbers. */
  freeIds: number;
  lostIds: number;
}

/** Counts every byte and every number once. @throws EtherloomError ERR_STREAMS_NONE in an engine without streams */
export function takeStreamLedger(arena: Arena): StreamLedger {
  const { u32, header } = arena;
  const pool = new StreamPoolView(arena.dv, poolOf(arena));
  const seen = new Uint8Array(pool.blockCount);
  const ledger: StreamLedger = {
    ...{ total: pool.blockCount * STREAM_BLOCK, free: 0, cached: 0, used: 0, lost: 0, doubled: 0 },
    ...{ open: 0, closed: 0, freeIds: 0, lostIds: 0 },
  };
  const mark = (where: 'free' | 'cached' | 'used', block: number, blocks: number): void => {
    ledger[where] += blocks * STREAM_BLOCK;
    for (let b = block; b < block + blocks; b++) {
      if (seen[b] !== 0) ledger.doubled += STREAM_BLOCK;
      seen[b] = 1;
    }
  };
  const blockOf = (at: number): number => (at - pool.memoryAt) / STREAM_BLOCK;
  for (let b = 0; b < pool.blockCount; b++) {
    const state = u32[(pool.blocksAt + b * StreamBlockLayout.size + StreamBlockLayout.state) >> 2];
    if (state & BLOCK_FREE) mark('free', b, 1 << ((state & 0xff) - 1));
  }
  const lane = (i: number): number => pool.lanesAt + i * StreamLaneLayout.size;
  for (let i = 0; i <= header.laneCount; i++)
    for (let c = 0; c < STREAM_CLASSES; c++) {
      const kept = u32[((lane(i) + StreamLaneLayout.cached) >> 2) + c];
      for (let k = 0; k < kept; k++)
        mark(
          'cached',
          blockOf(u32[((lane(i) + StreamLaneLayout.blocks) >> 2) + c * STREAM_CACHE + k]),
          1 << c,
        );
    }
  const word = (id: number, offset: number): number =>
    u32[(header.streamsAt + id * StreamLayout.size + offset) >> 2];
  const freeIds = freeStreamIds(arena, pool, lane, word);
  ledger.freeIds = freeIds.size;
  for (let id = 1; id < header.streamCount; id++) {
    const flags = word(id, StreamLayout.flags);
    if (flags & StreamFlag.OPEN) ledger.open++;
    else if (flags & StreamFlag.CLOSED) ledger.closed++;
    else if (!freeIds.has(id) && !(flags & StreamFlag.LINKED)) ledger.lostIds++;
    for (const [at, bytes] of [
      [StreamLayout.sndAt, StreamLayout.sndBytes],
      [StreamLayout.rcvAt, StreamLayout.rcvBytes],
      [StreamLayout.rcvOldAt, StreamLayout.rcvOldBytes],
    ])
      if (flags !== 0 && word(id, at) !== 0)
        mark('used', blockOf(word(id, at)), word(id, bytes) / STREAM_BLOCK);
  }
  for (const s of seen) if (s === 0) ledger.lost += STREAM_BLOCK;
  return ledger;
}

function freeStreamIds(
  arena: Arena,
  pool: StreamPoolView,
  lane: (i: number) => number,
  word: (id: number, offset: number) => number,
): Set<number> {
  const found = new Set<number>();
  const batch = (first: number): void => {
    for (let id = first; id !== 0 && !found.has(id); id = word(id, StreamLayout.nextFree)) found.add(id);
  };
  for (let id = Number(pool.ids & 0xffffffffn); id !== 0; id = word(id, StreamLayout.nextBatch)) batch(id);
  for (let i = 0; i <= arena.header.laneCount; i++) {
    batch(arena.u32[(lane(i) + StreamLaneLayout.freeHead) >> 2]);
    batch(arena.u32[(lane(i) + StreamLaneLayout.spareHead) >> 2]);
  }
  return found;
}
