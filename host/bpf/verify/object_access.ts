/** Which bytes of a structure are a member's: accesses keep to one (kernel: btf_struct_walk). */
import type { Btf, BtfMember, BtfType } from '../btf/btf.js';
import { nameOf, resolveId, sizeOf, typeOf } from '../btf/types.js';
import type { Walk } from './walk.js';

type Struct = Extract<BtfType, { kind: 'struct' | 'union' }>;

export const describeStruct = (v: Walk, id: number): string => {
  const type = v.spec.btf?.types[id];
  return `struct ${(type && nameOf(type)) || id}`;
};

/** Element of an array of arrays: its type, and its size. */
function element(btf: Btf, id: number): { type: BtfType; bytes: number } {
  let at = resolveId(btf, id);
  for (let type = typeOf(btf, at); type.kind === 'array'; type = typeOf(btf, at))
    at = resolveId(btf, type.type);
  return { type: typeOf(btf, at), bytes: sizeOf(btf, at) };
}

/** The member that the byte at `off` lies in; undefined in a hole. Bit fields are taken as whole bytes. */
function memberAt(
  btf: Btf,
  type: Struct,
  off: number,
  size: number,
): { member: BtfMember; end: number } | 'bits' | undefined {
  for (const member of type.members) {
    const from = member.bitOffset >> 3;
    if (off + size <= from) return undefined;
    if (member.bitSize) {
      if (off <= from && Math.ceil((member.bitOffset + member.bitSize) / 8) <= off + size) return 'bits';
      continue;
    }
    if (off < from) return undefined;
    const end = from + sizeOf(btf, member.type);
    if (off < end) return { member, end };
  }
  return undefined;
}

/** `size` bytes at `off` of structure `id`. */
export function structAccess(v: Walk, n: number, id: number, at: number, size: number): void {
  const btf = v.spec.btf!;
  const whole = typeOf(btf, id) as Struct;
  const what = `${size} bytes at offset ${at} of ${describeStruct(v, id)}`;
  if (at < 0 || at + size > whole.size) v.fail('mem-bounds', `r${n}: ${what}, which has ${whole.size}`);
  let type = whole;
  for (let off = at; ; ) {
    const found = off + size <= type.size ? memberAt(btf, type, off, size) : undefined;
    if (found === 'bits') return;
    if (!found) return v.fail('mem-bounds', `r${n}: ${what} are no member`);
    const { member, end } = found;
    const { type: inner, bytes } = element(btf, member.type);
    const from = member.bitOffset >> 3;
    if (inner.kind === 'struct' || inner.kind === 'union') {
      off = (off - from) % bytes;
      type = inner;
      continue;
    }
    if (inner.kind === 'ptr' && (size !== 8 || (off - from) % 8 !== 0))
      return v.fail('mem-bounds', `r${n}: ${what} are part of the pointer ${member.name}`);
    if (off + size > end) return v.fail('mem-bounds', `r${n}: ${what} run past its member ${member.name}`);
    return;
  }
}
