/** What the JIT needs to know of a hash table to write lookups into a program (jit/emit_table.ts). */
import type { MapHeaderView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { HashTableShape } from '../jit/compiled.js';
import type { MapTypeName } from '../spec.js';
import { ELEM_KEY, ELEM_LANES, ELEM_REF, seedCount } from './storage.js';

const LRU: ReadonlySet<MapTypeName> = new Set(['lru_hash', 'lru_percpu_hash']);
const PER_CPU: ReadonlySet<MapTypeName> = new Set(['percpu_hash', 'lru_percpu_hash']);

/** Undefined for maps whose lookup is more than finding an element. */
export function tableShape(
  type: MapTypeName,
  arena: Arena,
  header: MapHeaderView,
): HashTableShape | undefined {
  if (type !== 'hash' && !LRU.has(type) && !PER_CPU.has(type)) return undefined;
  const { keySize } = header;
  return {
    keySize,
    bucketsAt: header.aux0,
    mask: header.aux1,
    seeds: new BigUint64Array(arena.memory.buffer, header.aux2, seedCount(keySize)).slice(),
    keyAt: ELEM_KEY,
    valueAt: header.aux3,
    ...(LRU.has(type) ? { refAt: ELEM_REF } : {}),
    ...(PER_CPU.has(type) ? { perCpu: { valuesAt: ELEM_LANES, laneStride: header.laneStride } } : {}),
  };
}
