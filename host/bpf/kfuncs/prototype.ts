/**
 * C prototypes of kernel functions, as text: the row of a kfunc is written as C would declare it, and everything that
 * the verifier, the engines and the header need is read off it. Only what a kfunc can have is understood: numbers,
 * pointers to numbers, to structures and to void.
 */
import { EtherloomError } from '../../errors.js';

export interface CInt {
  kind: 'int';
  /** As written in the header: `__u32`, `int`. */
  name: string;
  bits: 8 | 16 | 32 | 64;
  signed: boolean;
}

export type Pointee = { kind: 'void' } | { kind: 'struct'; name: string } | CInt;

/** A function that is given: `text` as it was written, with # for its name. */
export interface CFunc {
  kind: 'func';
  text: string;
  params: number;
}

export type CType = { kind: 'void' } | CInt | { kind: 'ptr'; to: Pointee; const: boolean } | CFunc;

export interface CParam {
  name: string;
  type: CType;
}

export interface CPrototype {
  name: string;
  ret: CType;
  params: readonly CParam[];
}

const ints: ReadonlyMap<string, CInt> = new Map(
  (
    [
      ['bool', '_Bool', 8, false],
      ['char', 'char', 8, true],
      ['u8', '__u8', 8, false],
      ['s8', '__s8', 8, true],
      ['u16', '__u16', 16, false],
      ['s16', '__s16', 16, true],
      ['int', 'int', 32, true],
      ['u32', '__u32', 32, false],
      ['s32', '__s32', 32, true],
      ['unsigned int', '__u32', 32, false],
      ['long', 'long', 64, true],
      ['u64', '__u64', 64, false],
      ['s64', '__s64', 64, true],
    ] as const
  ).flatMap(([word, name, bits, signed]): [string, CInt][] => {
    const type: CInt = { kind: 'int', name, bits, signed };
    return [
      [word, type],
      [name, type],
    ];
  }),
);

const fail = (text: string, what: string): never => {
  throw new EtherloomError('ERR_KFUNC_ROW', `kfunc "${text}": ${what}`, {
    expected: 'a C prototype of numbers and of pointers to numbers, structures or void',
  });
};

/** `const struct xdp_md *`, `u32`, `void`: a type without the name behind it. */
function parseType(given: string, whole: string): CType {
  const stars = given.split('*').length - 1;
  let words = given.replace(/\*/g, ' ').trim().split(/\s+/);
  const isConst = words.includes('const');
  words = words.filter(w => w !== 'const');
  const name = words.join(' ');
  if (stars > 1) fail(whole, `${given.trim()} is a pointer to a pointer`);
  const number = ints.get(name);
  if (stars === 0) {
    if (number) return number;
    return name === 'void' ? { kind: 'void' } : fail(whole, `there is no type "${given.trim()}"`);
  }
  if (number) return { kind: 'ptr', to: number, const: isConst };
  if (name === 'void') return { kind: 'ptr', to: { kind: 'void' }, const: isConst };
  if (words.length === 2 && words[0] === 'struct')
    return { kind: 'ptr', to: { kind: 'struct', name: words[1] }, const: isConst };
  return fail(whole, `there is no type "${given.trim()}"`);
}

/** Splits `struct xdp_md *ctx` into its type and its name. */
function parseDeclaration(given: string, whole: string): { type: CType; name: string } {
  const callback = /^([^()]+)\(\s*(\w+)\s*\)\s*\(([^()]*)\)$/.exec(given.trim());
  if (callback) {
    const [, ret, name, list] = callback;
    return {
      type: {
        kind: 'func',
        text: `${ints.get(ret.trim())?.name ?? ret.trim()} (#)(${list})`,
        params: list.split(',').length,
      },
      name,
    };
  }
  const found = /^(.*?)\s*(\w+)$/s.exec(given.trim());
  if (!found || found[1].trim() === '') return fail(whole, `"${given.trim()}" has no name`);
  return { type: parseType(found[1], whole), name: found[2] };
}

/** @throws EtherloomError ERR_KFUNC_ROW when it is not understood */
export function parsePrototype(text: string): CPrototype {
  const found = /^\s*([^(]+)\((.*)\)\s*;?\s*$/s.exec(text);
  if (!found) return fail(text, 'it is no prototype');
  const { type: ret, name } = parseDeclaration(found[1], text);
  const list = found[2].trim();
  const params =
    list === '' || list === 'void' ? [] : list.split(/,(?![^()]*\))/).map(p => parseDeclaration(p, text));
  if (params.length > 5) fail(text, `${params.length} arguments; 5 is the most`);
  if (params.some(p => p.type.kind === 'void')) fail(text, 'an argument of type void');
  return { name, ret, params };
}

function pointeeText(to: Pointee): string {
  return to.kind === 'struct' ? `struct ${to.name}` : to.kind === 'void' ? 'void' : to.name;
}

function declare(type: CType, name: string): string {
  if (type.kind === 'func') return type.text.replace('#', name);
  if (type.kind === 'ptr') return `${type.const ? 'const ' : ''}${pointeeText(type.to)} *${name}`;
  return `${type.kind === 'void' ? 'void' : type.name} ${name}`;
}

/** `int el_ready(__u32 id)`: as the header has it. */
export function printPrototype({ name, ret, params }: CPrototype): string {
  const args = params.map(p => declare(p.type, p.name)).join(', ') || 'void';
  return declare(ret, `${name}(${args})`);
}
