/**
 * Walks over BTF types: through names and qualifiers, sizes, members, layout.
 * Every walk is bounded, because untrusted BTF may be cyclic.
 */
import { EtherloomError } from '../../errors.js';
import type { Btf, BtfMember, BtfType } from './btf.js';

/** MAX_RESOLVE_DEPTH of libbpf and the kernel. */
const MAX_DEPTH = 32;
/** Nothing that a map or a program holds is larger. */
const MAX_SIZE = 0x7fff_ffff;

const badType = (id: number, message: string, expected: string): EtherloomError =>
  new EtherloomError('ERR_BTF_TYPE', `BTF type ${id}: ${message}`, { expected });

/** @throws EtherloomError ERR_BTF_TYPE when there is no such type */
export function typeOf(btf: Btf, id: number): BtfType {
  const type = btf.types[id];
  if (!type) throw badType(id, 'does not exist', `an id below ${btf.types.length}`);
  return type;
}

/** Id behind typedefs, qualifiers and tags. */
export function resolveId(btf: Btf, id: number): number {
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const type = typeOf(btf, id);
    if (!isModifier(type)) return id;
    id = type.type;
  }
  throw badType(id, 'is a chain of names without end', `a type within ${MAX_DEPTH} steps`);
}

/** Type behind typedefs, qualifiers and tags. */
export const resolve = (btf: Btf, id: number): BtfType => typeOf(btf, resolveId(btf, id));

export function isModifier(
  type: BtfType,
): type is Extract<
  BtfType,
  { kind: 'typedef' | 'volatile' | 'const' | 'restrict' | 'type_tag' | 'decl_tag' }
> {
  return (
    type.kind === 'typedef' ||
    type.kind === 'const' ||
    type.kind === 'volatile' ||
    type.kind === 'restrict' ||
    type.kind === 'type_tag'
  );
}

/**
 * Bytes that a value of the type occupies (sizeof).
 * @throws EtherloomError ERR_BTF_TYPE for void, functions, forward declarations, cyclic or gigantic arrays
 */
export function sizeOf(btf: Btf, id: number): number {
  let factor = 1;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const type = typeOf(btf, id);
    if (type.kind === 'array') {
      factor *= type.count;
      id = type.type;
    } else if (isModifier(type) || type.kind === 'var') id = type.type;
    else {
      const size = factor * ownSize(type, id);
      if (size > MAX_SIZE) throw badType(id, `occupies ${size} bytes`, `at most ${MAX_SIZE}`);
      return size;
    }
  }
  throw badType(id, 'is nested without end', `a type within ${MAX_DEPTH} steps`);
}

function ownSize(type: BtfType, id: number): number {
  switch (type.kind) {
    case 'int':
    case 'struct':
    case 'union':
    case 'enum':
    case 'float':
    case 'datasec':
      return type.size;
    case 'ptr':
      return 8;
    default:
      throw badType(id, `a ${type.kind} has no size`, 'a type with values');
  }
}

/** Name of a type, '' when it has none. */
export const nameOf = (type: BtfType): string => ('name' in type ? type.name : '');

/** Id of the first type of that kind and name, or undefined. */
export function findType(btf: Btf, name: string, kind: BtfType['kind']): number | undefined {
  const id = btf.types.findIndex(t => t.kind === kind && nameOf(t) === name);
  return id < 0 ? undefined : id;
}

/** bitOffset counts from the outermost structure. */
export interface PlacedMember extends BtfMember {
  /** Size of the member's type in bytes. */
  size: number;
}

/** Members that one structure may have once anonymous ones are opened. */
const MAX_MEMBERS = 100_000;

/**
 * Members of a structure with their places counted from its start, anonymous inner ones opened as C does.
 * @throws EtherloomError ERR_BTF_TYPE when the type is no structure or contains itself
 */
export function layout(btf: Btf, id: number): PlacedMember[] {
  const out: PlacedMember[] = [];
  let visited = 0;
  const collect = (inner: number, base: number, depth: number): void => {
    const type = resolve(btf, inner);
    if (type.kind !== 'struct' && type.kind !== 'union')
      throw badType(inner, `is a ${type.kind}`, 'a struct or union');
    if (depth > MAX_DEPTH) throw badType(inner, 'contains itself', 'finite nesting');
    for (const member of type.members) {
      if (++visited > MAX_MEMBERS) throw badType(inner, 'has too many members', `at most ${MAX_MEMBERS}`);
      const bitOffset = base + member.bitOffset;
      const { kind } = resolve(btf, member.type);
      if (member.name === '' && (kind === 'struct' || kind === 'union'))
        collect(member.type, bitOffset, depth + 1);
      else out.push({ ...member, bitOffset, size: sizeOf(btf, member.type) });
    }
  };
  collect(id, 0, 0);
  return out;
}

/** Prototype of a FUNC, or undefined when the type is none. */
export function prototypeOf(btf: Btf, funcId: number): Extract<BtfType, { kind: 'func_proto' }> | undefined {
  const func = btf.types[funcId];
  if (func?.kind !== 'func') return undefined;
  const proto = btf.types[func.type];
  return proto?.kind === 'func_proto' ? proto : undefined;
}
