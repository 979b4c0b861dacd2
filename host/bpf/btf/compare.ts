/**
 * Two types of two objects, as they lie in memory: what a program made with the one would misread of a value that a program
 * made with the other wrote. Names of structures do not count, names and places of members do; where pointers lead is
 * nobody's business.
 */
import type { Btf, BtfType } from './btf.js';
import { layout, type PlacedMember, resolve, sizeOf } from './types.js';
import { enumTable, tooDeep } from './walk.js';

/** A type of an object. */
export interface TypeIn {
  btf: Btf;
  id: number;
}

/** Members of one structure that are named in full; of the others the number is told. */
const MOST_MEMBERS = 6;

const join = (path: string, name: string): string => (path ? `${path}.${name}` : name);
const placeOf = ({ bitOffset, bitSize }: PlacedMember): string =>
  bitSize || bitOffset % 8 ? `bit ${bitOffset}` : `offset ${bitOffset / 8}`;

/** Everything in which they differ, in words; [] when one may stand for the other. */
export function typeDifferences(before: TypeIn, after: TypeIn, path = '', depth = 0): string[] {
  tooDeep(depth);
  const a = resolve(before.btf, before.id);
  const b = resolve(after.btf, after.id);
  const at = path ? `${path} ` : '';
  if (a.kind !== b.kind) return [`${at}was ${article(a)} and is ${article(b)}`];
  if (isComposite(a)) return compositeDifferences(before, after, path, depth);
  if (a.kind === 'array' && b.kind === 'array') {
    if (a.count !== b.count) return [`${at}had ${a.count} elements and has ${b.count}`];
    return typeDifferences(
      { btf: before.btf, id: a.type },
      { btf: after.btf, id: b.type },
      `${path}[]`,
      depth + 1,
    );
  }
  if (a.kind === 'datasec' && b.kind === 'datasec') return variableDifferences(before, after, path, depth);
  if ('size' in a && 'size' in b && a.size !== b.size) return [`${at}had ${a.size} bytes and has ${b.size}`];
  if (a.kind === 'int' && b.kind === 'int' && a.signed !== b.signed)
    return [`${at}was ${a.signed ? 'signed' : 'unsigned'} and is ${b.signed ? 'signed' : 'unsigned'}`];
  if (a.kind === 'enum' && b.kind === 'enum') return enumDifferences(a, b, at);
  return [];
}

const isComposite = (t: BtfType): boolean => t.kind === 'struct' || t.kind === 'union';
const article = ({ kind }: BtfType): string => `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`;

function compositeDifferences(before: TypeIn, after: TypeIn, path: string, depth: number): string[] {
  const out: string[] = [];
  const [sizeBefore, sizeAfter] = [sizeOf(before.btf, before.id), sizeOf(after.btf, after.id)];
  if (sizeBefore !== sizeAfter) out.push(`${path || 'it'} had ${sizeBefore} bytes and has ${sizeAfter}`);
  const now = new Map(layout(after.btf, after.id).map(m => [m.name, m]));
  const members: string[] = [];
  for (const m of layout(before.btf, before.id)) {
    const name = join(path, m.name);
    const n = now.get(m.name);
    now.delete(m.name);
    if (!n) members.push(`${name} (${placeOf(m)}) is gone`);
    else if (n.bitOffset !== m.bitOffset || n.bitSize !== m.bitSize)
      members.push(`${name} was at ${placeOf(m)} and is at ${placeOf(n)}`);
    else
      members.push(
        ...typeDifferences({ btf: before.btf, id: m.type }, { btf: after.btf, id: n.type }, name, depth + 1),
      );
  }
  // What was padding may be anything.
  const fresh = [...now.values()].map(n => `${join(path, n.name)} is new, at ${placeOf(n)}`);
  return [...out, ...few([...fresh, ...members])];
}

/** Global variables of a section, by name. */
function variableDifferences(before: TypeIn, after: TypeIn, path: string, depth: number): string[] {
  const of = ({ btf, id }: TypeIn): Map<string, { type: number; offset: number }> => {
    const section = resolve(btf, id);
    const out = new Map<string, { type: number; offset: number }>();
    for (const v of section.kind === 'datasec' ? section.vars : []) {
      const type = btf.types[v.type];
      if (type?.kind === 'var') out.set(type.name, { type: type.type, offset: v.offset });
    }
    return out;
  };
  const out: string[] = [];
  const now = of(after);
  for (const [name, v] of of(before)) {
    const n = now.get(name);
    now.delete(name);
    if (!n) out.push(`${join(path, name)} (offset ${v.offset}) is gone`);
    else if (n.offset !== v.offset)
      out.push(`${join(path, name)} was at offset ${v.offset} and is at offset ${n.offset}`);
    else
      out.push(
        ...typeDifferences(
          { btf: before.btf, id: v.type },
          { btf: after.btf, id: n.type },
          join(path, name),
          depth + 1,
        ),
      );
  }
  for (const [name, n] of now) out.push(`${join(path, name)} is new, at offset ${n.offset}`);
  return few(out);
}

/** A name that means another number; further names are no matter. */
function enumDifferences(
  a: Extract<BtfType, { kind: 'enum' }>,
  b: Extract<BtfType, { kind: 'enum' }>,
  at: string,
): string[] {
  const now = enumTable(b).byName;
  const moved = [...enumTable(a).byName].filter(([name, value]) => (now.get(name) ?? value) !== value);
  return few(moved.map(([name, value]) => `${at}has ${name} for ${now.get(name)}, which was ${value}`));
}

function few(all: string[]): string[] {
  if (all.length <= MOST_MEMBERS) return all;
  return [...all.slice(0, MOST_MEMBERS), `and ${all.length - MOST_MEMBERS} more`];
}
