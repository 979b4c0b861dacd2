/** createMap: from a MapSpec to a map in the arena. */
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { ArrayMap } from './array.js';
import { checkSpec } from './check.js';
import { MapError } from './errors.js';
import { HashMap } from './hash.js';
import { type BpfMap, type MapPlace, takeId } from './map.js';
import { PerCpuArrayMap, PerCpuHashMap } from './percpu.js';
import { allocate } from './storage.js';

type Build = (spec: MapSpec, place: MapPlace) => BpfMap;

const CLASSES: Partial<Record<MapTypeName, Build>> = {
  array: (s, p) => new ArrayMap(s, p),
  percpu_array: (s, p) => new PerCpuArrayMap(s, p),
  hash: (s, p) => new HashMap(s, p),
  percpu_hash: (s, p) => new PerCpuHashMap(s, p),
};

/** The class that stands for each map type. */
export interface MapClasses {
  array: ArrayMap;
  percpu_array: PerCpuArrayMap;
  hash: HashMap;
  percpu_hash: PerCpuHashMap;
}
export type MapOf<T extends MapTypeName> = T extends keyof MapClasses ? MapClasses[T] : BpfMap;

/**
 * Makes a map in `arena`; `core` is the host's instance of the core. Initial `contents` are written, and the map
 * is frozen when the spec says so; initial `values` (names of programs and maps) are for the loader of a
 * collection to resolve.
 * @throws MapError ERR_MAP_EINVAL, _E2BIG, _ENOTSUPP … as the kernel's map_create
 * @throws EtherloomError ERR_ARENA_FULL when the map region has no room
 */
export function createMap<T extends MapTypeName>(
  arena: Arena,
  core: Core,
  spec: MapSpec & { type: T },
): MapOf<T> {
  checkSpec(spec);
  const build = CLASSES[spec.type];
  if (!build) throw new MapError('EINVAL', `map "${spec.name}": type ${spec.type} is not supported`);
  if (spec.contents && (spec.type !== 'array' || spec.contents.length > spec.valueSize * spec.maxEntries))
    throw new MapError('EINVAL', `map "${spec.name}": ${spec.contents.length} bytes of contents`, {
      expected: `an array of at least as many`,
    });
  const storage = allocate(arena, spec, takeId(arena));
  core.exports.map_init(storage.addr);
  const map = build(spec, { arena, core, storage });
  if (spec.contents) arena.u8.set(spec.contents, storage.header.dataAt);
  if (spec.frozen) map.freeze();
  return map as MapOf<T>;
}
