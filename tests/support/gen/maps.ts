/** The maps that random programs use: one of each kind, small, with odd ends. Keys are those of ProgramSpec.maps. */
import type { MapSpec } from '../../../host/bpf/spec.js';
import { mapsOf } from '../../bpf/corpus/maps.js';

/** Numbers of the maps in MAPS. */
export const Key = {
  array: 1,
  hash: 2,
  percpu: 3,
  lru: 4,
  ringbuf: 5,
  constants: 6,
  lpm: 7,
  locked: 8,
  jumps: 9,
  queue: 10,
  outer: 11,
  stack: 12,
  bloom: 13,
} as const;

export const MAPS: Record<number, MapSpec> = mapsOf([
  'array=array/4/48/4',
  'hash=hash/8/40/16',
  'percpu=percpu_array/4/24/2',
  'lru=lru_hash/4/16/8',
  'ringbuf=ringbuf/0/0/4096',
  'constants=array/4/32/1/rdonly_prog/frozen:00010203040506070800000000000000ff00000000000000efcdab8967452301',
  'lpm=lpm_trie/8/8/16/no_prealloc',
  'locked=array/4/lock+12/2',
  'jumps=prog_array/4/4/4',
  'queue=queue/0/8/4',
  'outer=array_of_maps/4/4/2<array/4/48/4>',
  'stack=stack/0/16/4',
  'bloom=bloom_filter/0/8/16',
]);

/** Maps whose lookup gives a value: key bytes, value bytes, and whether a lookup may be given any small key. */
export const LOOKUPS: readonly { key: number; keyBytes: number; valueBytes: number; readOnly?: boolean }[] = [
  { key: Key.array, keyBytes: 4, valueBytes: 48 },
  { key: Key.hash, keyBytes: 8, valueBytes: 40 },
  { key: Key.percpu, keyBytes: 4, valueBytes: 24 },
  { key: Key.lru, keyBytes: 4, valueBytes: 16 },
  { key: Key.lpm, keyBytes: 8, valueBytes: 8 },
  { key: Key.constants, keyBytes: 4, valueBytes: 32, readOnly: true },
];
