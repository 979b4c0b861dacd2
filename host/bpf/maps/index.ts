/** eBPF maps: creation and TypeScript access. */
export { ArrayMap } from './array.js';
export type { MapData } from './codec.js';
export { createMap, type MapClasses, type MapOf } from './create.js';
export { Errno, MapError } from './errors.js';
export { MapFlag, RingFlag, UpdateFlag } from './flags.js';
export { HashMap } from './hash.js';
export { KeyedMap } from './keyed.js';
export { BpfMap, mapBinding } from './map.js';
export { PerCpuArrayMap, PerCpuHashMap } from './percpu.js';
