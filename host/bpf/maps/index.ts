/** eBPF maps: creation and TypeScript access. */
export { ArrayMap, type GlobalVariable } from './array.js';
export { parsePrefix } from './cidr.js';
export type { MapData } from './codec.js';
export { createMap, type MapClasses, type MapOf } from './create.js';
export { Errno, MapError } from './errors.js';
export { MapFlag, RingFlag, UpdateFlag } from './flags.js';
export { HashMap } from './hash.js';
export { KeyedMap } from './keyed.js';
export { type LpmKey, LpmTrieMap } from './lpm.js';
export { BpfMap, mapAt, mapBinding } from './map.js';
export { PerCpuArrayMap, PerCpuHashMap } from './percpu.js';
export { PerfEventArrayMap, type PerfSample } from './perf.js';
export { type PktQueueCounts, PktQueueMap } from './pkt_queue.js';
export { BloomFilterMap, QueueMap } from './queue.js';
export type { ReadOptions } from './records.js';
export {
  CpuMap,
  type CpumapValue,
  DevHashMap,
  DevMap,
  type DevmapValue,
  XskMap,
} from './redirect.js';
export { ArrayOfMaps, HashOfMaps, ProgArrayMap } from './references.js';
export { RingBufMap, type RingBufOptions } from './ringbuf.js';
export type { MapOptions } from './storage.js';
export { StructOpsMap } from './struct_ops.js';
