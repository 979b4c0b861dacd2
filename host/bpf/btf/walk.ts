/** What encoder and decoder of typed values share: kinds of types, and bounds against hostile ones. */
import { EtherloomError } from '../../errors.js';
import type { Btf, BtfType } from './btf.js';
import { resolve } from './types.js';

/** Deepest nesting of structures and arrays; MAX_RESOLVE_DEPTH of the kernel. */
const MAX_DEPTH = 32;

export type Composite = Extract<BtfType, { kind: 'struct' | 'union' }>;
export type Int = Extract<BtfType, { kind: 'int' }>;
export type Enum = Extract<BtfType, { kind: 'enum' }>;

export const isChar = (btf: Btf, id: number): boolean => {
  const type = resolve(btf, id);
  return type.kind === 'int' && type.size === 1 && !type.bool && (type.char || type.name === 'char');
};

/** A member that holds structures without a name: its fields belong to the outer object. */
export const isAnonymous = (btf: Btf, member: { name: string; type: number }): boolean => {
  if (member.name !== '') return false;
  const { kind } = resolve(btf, member.type);
  return kind === 'struct' || kind === 'union';
};

const enumNames = new WeakMap<Enum, { byValue: Map<bigint, string>; byName: Map<string, bigint> }>();

/** Names of an enum both ways; of two names for one value the first counts. */
export function enumTable(type: Enum): { byValue: Map<bigint, string>; byName: Map<string, bigint> } {
  let table = enumNames.get(type);
  if (!table) {
    table = { byValue: new Map(), byName: new Map() };
    for (const { name, value } of type.values) {
      if (!table.byValue.has(value)) table.byValue.set(value, name);
      if (!table.byName.has(name)) table.byName.set(name, value);
    }
    enumNames.set(type, table);
  }
  return table;
}

/**
 * Steps that one value may take. Types with real members stay far below; hostile ones whose members have no size
 * would branch without end.
 */
export class Budget {
  private left: number;

  constructor(bytes: number) {
    this.left = 100_000 + 4 * bytes;
  }

  spend(): void {
    if (--this.left < 0)
      throw new EtherloomError('ERR_BTF_TYPE', 'a type has too many members', {
        expected: 'members with a size',
      });
  }
}

export function tooDeep(depth: number): void {
  if (depth > MAX_DEPTH)
    throw new EtherloomError('ERR_BTF_TYPE', 'a type contains itself', {
      expected: `nesting of at most ${MAX_DEPTH}`,
    });
}

/** BTF knows floats of 2, 12 and 16 bytes too; JavaScript has no number for them, and BPF no instruction. */
export function checkFloat(size: number): void {
  if (size !== 4 && size !== 8)
    throw new EtherloomError('ERR_BTF_TYPE', `a float of ${size} bytes`, { expected: 'float or double' });
}
