/**
 * Whether a map that exists may stand for a map of an object. Programs are verified against the object's spec and
 * compiled to the map's addresses: whatever the verifier relied on must hold for the map, or code that was found
 * safe reaches past its values.
 */

import { valueLayout } from '../objects/layout.js';
import type { MapSpec } from '../spec.js';
import { specialFields } from '../verify/maps.js';
import type { BpfMap } from './map.js';

/** Members of the value that programs may touch only through helpers: `bpf_spin_lock@8`. */
function special(spec: MapSpec): string {
  if (!spec.btf?.valueId) return '';
  return specialFields(spec.btf.types, spec.btf.valueId)
    .map(f => `${f.name}@${f.off}`)
    .join(' ');
}

/** All that the verifier and the compiler know of a map, in one line that can be compared and shown. */
export function shapeOf(spec: MapSpec): string {
  const parts = [
    spec.type,
    `key ${spec.keySize}`,
    `value ${spec.valueSize}`,
    `${spec.maxEntries} entries`,
    `flags 0x${spec.flags.toString(16)}`,
  ];
  if (spec.extra) parts.push(`extra ${spec.extra}`);
  if (spec.frozen) parts.push('frozen');
  if (special(spec)) parts.push(`value with ${special(spec)}`);
  const holds = valueLayout(spec);
  if (holds) parts.push(`which hold ${holds.key}`);
  if (spec.inner) parts.push(`of maps (${shapeOf(spec.inner)})`);
  return parts.join(', ');
}

/** Constants of a frozen map are in the code that uses it. */
function sameConstants(map: BpfMap, wanted: MapSpec): boolean {
  if (!wanted.frozen || map.dataAt === undefined) return true;
  const bytes = new Uint8Array(wanted.valueSize * wanted.maxEntries);
  bytes.set((wanted.contents ?? new Uint8Array()).subarray(0, bytes.length));
  const now = map.arena.u8.subarray(map.dataAt, map.dataAt + bytes.length);
  const baked = map.spec.contents ?? new Uint8Array();
  return bytes.every((b, i) => b === now[i] && b === (baked[i] ?? 0));
}

/** Why `map` may not stand for `wanted`, or undefined when it may. */
export function refusesReuse(map: BpfMap, wanted: MapSpec): string | undefined {
  if (map.destroyed) return 'it is destroyed';
  // Without max_entries a perf_event_array has an entry per lane, whatever their number.
  const perLane = wanted.type === 'perf_event_array' && wanted.maxEntries === 0;
  const want = perLane ? { ...wanted, maxEntries: map.maxEntries } : wanted;
  if (shapeOf(map.spec) !== shapeOf(want)) return `it is ${shapeOf(map.spec)}`;
  return sameConstants(map, wanted) ? undefined : 'its constants differ';
}
