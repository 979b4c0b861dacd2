/**
 * Maps of two objects: whether a map that is at work can be the new programs' as it stands. Programs are compiled to its
 * address, sizes and the places of members; the reasons against are for people.
 */
import { type TypeIn, typeDifferences } from '../../bpf/btf/compare.js';
import { shapeOf } from '../../bpf/maps/reuse.js';
import type { MapSpec } from '../../bpf/spec.js';

const FIELDS = [
  ['keySize', 'keys of', 'bytes'],
  ['valueSize', 'values of', 'bytes'],
  ['maxEntries', '', 'entries'],
] as const;

/** Everything in which what a map holds differs from what the new object's would, in words; [] when nothing does. */
export function mapDifferences(before: MapSpec, after: MapSpec): string[] {
  if (before.type !== after.type) return [`it is a ${before.type}, and would be a ${after.type}`];
  const out: string[] = [];
  for (const [field, of, unit] of FIELDS)
    if (before[field] !== after[field])
      out.push(`it has ${of ? `${of} ` : ''}${before[field]} ${unit}, and would have ${after[field]}`);
  out.push(...typesOf(before, after, 'keyId', 'its key'), ...typesOf(before, after, 'valueId', 'its value'));
  // Flags, what its values hold, inner maps: seldom, and told by what makes maps exchangeable everywhere.
  if (!out.length && shapeOf(before) !== shapeOf(after))
    out.push(`it is ${shapeOf(before)}, and would be ${shapeOf(after)}`);
  return out;
}

function typesOf(before: MapSpec, after: MapSpec, id: 'keyId' | 'valueId', what: string): string[] {
  const a = typeIn(before, id);
  const b = typeIn(after, id);
  return a && b ? typeDifferences(a, b).map(text => `${what}: ${text}`) : [];
}

const typeIn = ({ btf }: MapSpec, id: 'keyId' | 'valueId'): TypeIn | undefined =>
  btf?.[id] ? { btf: btf.types, id: btf[id] } : undefined;
