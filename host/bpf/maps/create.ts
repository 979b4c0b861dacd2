/** createMap: from a MapSpec to a map in the arena. */
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import { valueLayout } from '../objects/layout.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { ArrayMap } from './array.js';
import { checkSpec } from './check.js';
import { HashMap } from './hash.js';
import { LpmTrieMap } from './lpm.js';
import { type BpfMap, type MapPlace, takeId } from './map.js';
import { PerCpuArrayMap, PerCpuHashMap } from './percpu.js';
import { PerfEventArrayMap } from './perf.js';
import { PktQueueMap } from './pkt_queue.js';
import { BloomFilterMap, QueueMap } from './queue.js';
import { CpuMap, DevHashMap, DevMap, XskMap } from './redirect.js';
import { ArrayOfMaps, HashOfMaps, ProgArrayMap } from './references.js';
import { RingBufMap } from './ringbuf.js';
import { allocate, type MapOptions } from './storage.js';
import { StructOpsMap } from './struct_ops.js';
import { collectTimers } from './timers.js';

const CLASSES = {
  array: ArrayMap,
  percpu_array: PerCpuArrayMap,
  hash: HashMap,
  lru_hash: HashMap,
  percpu_hash: PerCpuHashMap,
  lru_percpu_hash: PerCpuHashMap,
  lpm_trie: LpmTrieMap,
  queue: QueueMap,
  stack: QueueMap,
  bloom_filter: BloomFilterMap,
  ringbuf: RingBufMap,
  perf_event_array: PerfEventArrayMap,
  prog_array: ProgArrayMap,
  array_of_maps: ArrayOfMaps,
  hash_of_maps: HashOfMaps,
  devmap: DevMap,
  devmap_hash: DevHashMap,
  cpumap: CpuMap,
  xskmap: XskMap,
  pkt_queue: PktQueueMap,
  struct_ops: StructOpsMap,
} as const;

/** The class that stands for each map type. */
export type MapClasses = { [T in keyof typeof CLASSES]: InstanceType<(typeof CLASSES)[T]> };
export type MapOf<T extends MapTypeName> = T extends keyof MapClasses ? MapClasses[T] : BpfMap;

/**
 * Makes a map in `arena`; `core` is the host's instance of the core. Initial `contents` are written, and the map
 * is frozen when the spec says so; initial `values` (names of programs and maps) are for the loader of a
 * collection to resolve. A perf_event_array without max_entries gets one entry per lane, as from libbpf.
 * @throws MapError ERR_MAP_EINVAL, _E2BIG, _ENOTSUPP … as the kernel's map_create
 * @throws EtherloomError ERR_ARENA_FULL when the map region has no room
 */
export function createMap<T extends MapTypeName>(
  arena: Arena,
  core: Core,
  spec: MapSpec & { type: T },
  options: MapOptions = {},
): MapOf<T> {
  const full =
    spec.type === 'perf_event_array' && spec.maxEntries === 0
      ? { ...spec, maxEntries: arena.header.laneCount + 1 }
      : spec;
  checkSpec(full);
  collectTimers(arena);
  const { contents } = full;
  const storage = allocate(arena, full, takeId(arena), options);
  core.exports.map_init(storage.addr);
  const build = CLASSES[full.type as keyof typeof CLASSES] as new (spec: MapSpec, place: MapPlace) => BpfMap;
  const map = new build(full, { arena, core, storage });
  if (contents) {
    const { dataAt, stride, valueTimer } = storage.header;
    arena.u8.set(contents, dataAt);
    // A timer starts as none, whatever the object says.
    for (let i = 0; valueTimer && i < full.maxEntries; i++)
      arena.u8.fill(0, dataAt + i * stride + valueTimer - 1, dataAt + i * stride + valueTimer + 15);
    // And so does all else that is the engine's.
    for (const { off, bytes } of valueLayout(full)?.fields ?? [])
      for (let i = 0; i < full.maxEntries; i++)
        arena.u8.fill(0, dataAt + i * stride + off, dataAt + i * stride + off + bytes);
  }
  if (full.frozen) map.freeze();
  return map as MapOf<T>;
}
