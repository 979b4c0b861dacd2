/**
 * Lays a map out in one block of the arena's map region and fills its MapHeader:
 *   │ MapHeader │ parts of the type, 64-byte aligned … │ host scratch: key, next key, value │
 * assembly/bpf/maps reads what is written here; the core's map_init then builds free lists and the like.
 */
import { randomBytes } from 'node:crypto';
import {
  MapHeaderLayout,
  MapHeaderView,
  MapType,
  PacketBucketLayout,
  PacketQueueLaneLayout,
  QueuedFrameLayout,
  RecordRingLayout,
  RecordRingView,
  TimerNodeLayout,
} from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import { valueLayout } from '../objects/layout.js';
import { recordBytes, writeRecord } from '../objects/pool.js';
import type { MapSpec } from '../spec.js';
import { isHashTable, isPerCpu, spinLockOffset, timerOffset } from './check.js';
import { MapFlag } from './flags.js';

export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
const roundUp8 = (n: number): number => roundUp(n, 8);
const powerOfTwoFrom = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** An element of a hash table (assembly/bpf/maps/hash_table.ts): LRU's ref word, address of lane 0's value, key. */
export const ELEM_REF = 8;
export const ELEM_LANES = 12;
export const ELEM_KEY = 16;

/** 64-bit coefficients of the hash of a key (assembly/bpf/maps/hash_key.ts). */
export const seedCount = (keySize: number): number => Math.ceil(keySize / 4) + 2;

/** Bytes of one lane's ring of a perf_event_array. */
const PERF_BYTES = 64 << 10;

export interface MapOptions {
  /** perf_event_array: bytes of each lane's ring, a power of two. Default 64 KiB. */
  perfBytes?: number;
}

export interface Storage {
  addr: number;
  bytes: number;
  header: MapHeaderView;
  /** Room for one key, a next key and a value (every lane's copy for per-CPU maps): host thread only. */
  keyBuf: number;
  nextBuf: number;
  valueBuf: number;
}

/** A part of the block: offset from its start, known once every part is planned. */
class Plan {
  bytes: number = MapHeaderLayout.size;
  take(bytes: number, align = 64): number {
    const at = roundUp(this.bytes, align);
    this.bytes = at + Math.max(bytes, 8);
    return at;
  }
}

/** Elements that fit a cache line do not straddle two. */
function elementStride(bytes: number): number {
  for (const size of [32, 64]) if (bytes <= size) return size;
  return roundUp(bytes, 16);
}

type Fill = (base: number, h: MapHeaderView, arena: Arena) => void;

function planHash(spec: MapSpec, copies: number, plan: Plan): Fill {
  const perCpu = isPerCpu(spec.type);
  const total = spec.maxEntries + copies;
  const valueAt = ELEM_KEY + roundUp8(spec.keySize);
  const stride = elementStride(valueAt + (perCpu ? 0 : roundUp8(elementValueBytes(spec))));
  const buckets = powerOfTwoFrom(spec.maxEntries * 2);
  const seeds = seedCount(spec.keySize);
  const seedsAt = plan.take(seeds * 8);
  const bucketsAt = plan.take(buckets * 8);
  const dataAt = plan.take(total * stride);
  const laneStride = perCpu ? roundUp(total * roundUp8(spec.valueSize), 64) : 0;
  const valuesAt = perCpu ? plan.take(laneStride * copies) : 0;
  return (base, h, arena) => {
    Object.assign(h, {
      dataAt: base + dataAt,
      dataBytes: total * stride,
      stride,
      aux0: base + bucketsAt,
      aux1: buckets - 1,
      aux2: base + seedsAt,
      aux3: valueAt,
      laneStride,
      valuesAt: perCpu ? base + valuesAt : 0,
    });
    writeSeeds(arena, base + seedsAt, seeds, (spec.flags & MapFlag.ZERO_SEED) !== 0);
  };
}

/** What an element holds: for devmaps always {ifindex, program slot}, whatever the declared size. */
const elementValueBytes = (spec: MapSpec): number => (spec.type === 'devmap_hash' ? 8 : spec.valueSize);

/** Coefficients of the hash: random, or the same in every map for BPF_F_ZERO_SEED. */
function writeSeeds(arena: Arena, at: number, count: number, fixed: boolean): void {
  if (!fixed) {
    arena.u8.set(randomBytes(count * 8), at);
    return;
  }
  // splitmix64 from 0
  let x = 0n;
  for (let i = 0; i < count; i++) {
    x = BigInt.asUintN(64, x + 0x9e3779b97f4a7c15n);
    let z = BigInt.asUintN(64, (x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    arena.dv.setBigUint64(at + i * 8, z ^ (z >> 31n), true);
  }
}

function planArray(spec: MapSpec, copies: number, plan: Plan): Fill {
  const stride = roundUp8(spec.valueSize);
  const perCpu = isPerCpu(spec.type);
  const laneStride = perCpu ? roundUp(stride * spec.maxEntries, 64) : 0;
  const bytes = perCpu ? laneStride * copies : stride * spec.maxEntries;
  // One cache line a lane for the indices that for_each_map_elem shows to its callbacks.
  const indexAt = plan.take(64 * copies);
  const dataAt = plan.take(bytes);
  return (base, h) => {
    Object.assign(h, { dataAt: base + dataAt, dataBytes: bytes, stride, laneStride, aux0: base + indexAt });
  };
}

/** Bits that the root table of a trie takes at once: as many as there are prefixes to tell apart, at most 16. */
function rootBits(spec: MapSpec): number {
  const wanted = spec.maxEntries <= 256 ? 8 : spec.maxEntries <= 4096 ? 12 : 16;
  return Math.min(wanted, (spec.keySize - 4) * 8);
}

/** Nodes of a trie: one per prefix is the worst case; large tables get fewer, and -ENOMEM should they run out. */
const trieNodes = (entries: number): number =>
  entries <= 65536 ? entries : 65536 + Math.ceil((entries - 65536) / 2);

function planTrie(spec: MapSpec, plan: Plan): Fill {
  const bits = rootBits(spec);
  const nodes = trieNodes(spec.maxEntries);
  const nodeBytes = roundUp(136 + spec.keySize - 4, 64);
  const valueAt = roundUp8(8 + spec.keySize);
  const stride = elementStride(valueAt + roundUp8(spec.valueSize));
  const total = spec.maxEntries + 1;
  const rootAt = plan.take(8 * 2 ** bits);
  const nodesAt = plan.take(nodes * nodeBytes);
  const dataAt = plan.take(total * stride);
  return (base, h) => {
    Object.assign(h, {
      dataAt: base + dataAt,
      dataBytes: total * stride,
      stride,
      aux0: base + rootAt,
      aux1: bits,
      aux2: base + nodesAt,
      aux3: valueAt,
      state3: nodes,
    });
  };
}

function planQueue(spec: MapSpec, plan: Plan): Fill {
  const stride = roundUp8(spec.valueSize);
  const bytes = (spec.maxEntries + 1) * stride;
  const dataAt = plan.take(bytes);
  return (base, h) => {
    Object.assign(h, { dataAt: base + dataAt, dataBytes: bytes, stride });
  };
}

/** Sizes as bloom_map_alloc computes them: 7/5 bits per hash and entry, a power of two. */
function planBloom(spec: MapSpec, plan: Plan): Fill {
  const hashes = spec.extra || 5;
  const bits = Math.min(
    2 ** 31,
    powerOfTwoFrom(Math.max(64, Math.floor((spec.maxEntries * hashes) / 5) * 7)),
  );
  const seeds = seedCount(spec.valueSize);
  const seedsAt = plan.take(seeds * 2 * 8);
  const dataAt = plan.take(bits / 8);
  return (base, h, arena) => {
    Object.assign(h, {
      dataAt: base + dataAt,
      dataBytes: bits / 8,
      aux0: hashes,
      aux1: bits - 1,
      aux2: base + seedsAt,
    });
    writeSeeds(arena, base + seedsAt, seeds * 2, (spec.flags & MapFlag.ZERO_SEED) !== 0);
  };
}

/** `count` rings of `bytes` each; the storage is twice that (assembly/bpf/maps/records.ts). */
function planRecords(count: number, bytes: number, plan: Plan): Fill {
  const ringsAt = plan.take(RecordRingLayout.size * count);
  const dataAt = plan.take(bytes * 2 * count, 4096);
  return (base, h, arena) => {
    Object.assign(h, { dataAt: base + dataAt, dataBytes: bytes * 2 * count, aux0: base + ringsAt });
    for (let i = 0; i < count; i++)
      Object.assign(new RecordRingView(arena.dv, base + ringsAt + i * RecordRingLayout.size), {
        dataAt: base + dataAt + i * bytes * 2,
        bytes,
        mapAt: base,
        wakerAt: base + ringsAt,
      });
  };
}

/**
 * Buckets of each lane, and what each lane counted. The table of frames that wait is the engine's, made with the first
 * such map: a frame is in one bucket at most, whatever the map.
 */
function planPktQueue(spec: MapSpec, copies: number, plan: Plan): Fill {
  const laneStride = roundUp(spec.maxEntries * PacketBucketLayout.size, 64);
  // A bit per bucket, and a bit per word of those.
  const words = Math.ceil(spec.maxEntries / 64);
  const bitBytes = roundUp((words + Math.ceil(words / 64)) * 8, 64);
  const countsAt = plan.take(PacketQueueLaneLayout.size * copies);
  const bitsAt = plan.take(bitBytes * copies);
  const dataAt = plan.take(laneStride * copies);
  return (base, h, arena) => {
    arena.header.queuedAt ||= queuedFrames(arena);
    Object.assign(h, {
      dataAt: base + dataAt,
      dataBytes: laneStride * copies,
      stride: PacketBucketLayout.size,
      laneStride,
      aux0: spec.extra,
      aux1: base + countsAt,
      aux2: base + bitsAt,
      aux3: bitBytes,
    });
  };
}

function queuedFrames(arena: Arena): number {
  const bytes = arena.header.frameCount * QueuedFrameLayout.size;
  const at = arena.maps.alloc(bytes, 64, 'the table of frames in pkt_queues');
  arena.u8.fill(0, at, at + bytes);
  return at;
}

function planSlots(spec: MapSpec, plan: Plan): Fill {
  const dataAt = plan.take(8 * spec.maxEntries);
  return (base, h) => {
    Object.assign(h, { dataAt: base + dataAt, dataBytes: 8 * spec.maxEntries, stride: 8 });
  };
}

function planParts(spec: MapSpec, copies: number, plan: Plan, options: MapOptions): Fill {
  switch (spec.type) {
    case 'array':
    case 'percpu_array':
    case 'struct_ops':
      return planArray(spec, copies, plan);
    case 'lpm_trie':
      return planTrie(spec, plan);
    case 'queue':
    case 'stack':
      return planQueue(spec, plan);
    case 'bloom_filter':
      return planBloom(spec, plan);
    case 'ringbuf':
      return planRecords(1, spec.maxEntries, plan);
    case 'perf_event_array':
      return planRecords(copies, options.perfBytes ?? PERF_BYTES, plan);
    case 'pkt_queue':
      return planPktQueue(spec, copies, plan);
    default:
      return isHashTable(spec.type) ? planHash(spec, copies, plan) : planSlots(spec, plan);
  }
}

/** Takes the block and fills the header. @throws EtherloomError ERR_ARENA_FULL */
export function allocate(arena: Arena, spec: MapSpec, id: number, options: MapOptions): Storage {
  const copies = arena.header.laneCount + 1;
  const lock = spinLockOffset(spec);
  const timer = timerOffset(spec);
  const plan = new Plan();
  const fill = planParts(spec, copies, plan, options);
  // A node for each element: an array has as many as entries, a hash table one more for each lane.
  const timers = timer === undefined ? 0 : spec.maxEntries + (isHashTable(spec.type) ? copies : 0);
  const timersAt = timers && plan.take(timers * TimerNodeLayout.size);
  const holds = valueLayout(spec);
  const recordAt = holds && plan.take(recordBytes(holds.fields));
  const keyBuf = plan.take(spec.keySize);
  const nextBuf = plan.take(spec.keySize);
  const valueBuf = plan.take(roundUp8(Math.max(8, spec.valueSize)) * (isPerCpu(spec.type) ? copies : 1));
  const addr = arena.maps.alloc(plan.bytes, 64, `map ${spec.name} of ${spec.maxEntries} entries`);
  arena.u8.fill(0, addr, addr + plan.bytes);
  const header = new MapHeaderView(arena.dv, addr);
  Object.assign(header, {
    type: MapType[spec.type.toUpperCase() as keyof typeof MapType],
    id,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: spec.maxEntries,
    flags: spec.flags,
    lanes: copies,
    valueLock: lock === undefined ? 0 : lock + 1,
    valueTimer: timer === undefined ? 0 : timer + 1,
    timersAt: timers && addr + timersAt,
    timerCount: timers,
    recordAt: recordAt === undefined ? 0 : addr + recordAt,
    held: 1,
  });
  if (holds) writeRecord(arena, header.recordAt, holds);
  fill(addr, header, arena);
  return {
    addr,
    bytes: plan.bytes,
    header,
    keyBuf: addr + keyBuf,
    nextBuf: addr + nextBuf,
    valueBuf: addr + valueBuf,
  };
}
