/**
 * Lays a map out in one block of the arena's map region and fills its MapHeader:
 *   │ MapHeader │ parts of the type, 64-byte aligned … │ host scratch: key, next key, value │
 * assembly/bpf/maps reads what is written here; the core's map_init then builds free lists and the like.
 */
import { randomBytes } from 'node:crypto';
import { MapHeaderLayout, MapHeaderView, MapType } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { MapSpec } from '../spec.js';
import { isHashTable, isPerCpu, spinLockOffset } from './check.js';
import { MapFlag } from './flags.js';

export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
const roundUp8 = (n: number): number => roundUp(n, 8);
const powerOfTwoFrom = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Bytes before the key in an element of a hash table (assembly/bpf/maps/hash_table.ts). */
export const ELEM_KEY = 16;

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
  const words = Math.ceil(spec.keySize / 4);
  const seedsAt = plan.take((words + 2) * 8);
  const bucketsAt = plan.take(buckets * 4);
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
    writeSeeds(arena, base + seedsAt, words + 2, (spec.flags & MapFlag.ZERO_SEED) !== 0);
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

function planParts(spec: MapSpec, copies: number, plan: Plan): Fill {
  if (isHashTable(spec.type)) return planHash(spec, copies, plan);
  return planArray(spec, copies, plan);
}

/** Takes the block and fills the header. @throws EtherloomError ERR_ARENA_FULL */
export function allocate(arena: Arena, spec: MapSpec, id: number): Storage {
  const copies = arena.header.laneCount + 1;
  const lock = spinLockOffset(spec);
  const plan = new Plan();
  const fill = planParts(spec, copies, plan);
  const keyBuf = plan.take(spec.keySize);
  const nextBuf = plan.take(spec.keySize);
  const valueBuf = plan.take(roundUp8(Math.max(8, spec.valueSize)) * (isPerCpu(spec.type) ? copies : 1));
  const addr = arena.maps.alloc(plan.bytes, 64);
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
  });
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
