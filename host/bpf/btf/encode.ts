/** JavaScript values → bytes, by BTF type; the table of forms stands in codec.ts. */
import { EtherloomError } from '../../errors.js';
import type { Btf, BtfType } from './btf.js';
import { resolve, resolveId, sizeOf, typeOf } from './types.js';
import {
  Budget,
  type Composite,
  checkFloat,
  type Enum,
  enumTable,
  type Int,
  isAnonymous,
  isChar,
  tooDeep,
} from './walk.js';

/**
 * JavaScript → bytes of exactly the type's size, little-endian, padding 0.
 * @throws EtherloomError ERR_BTF_VALUE naming the path of the field, ERR_BTF_TYPE when the type has no values
 */
export function encodeValue(btf: Btf, typeId: number, value: unknown): Uint8Array {
  const out = new Uint8Array(sizeOf(btf, typeId));
  new Encoder(btf, out).any(typeId, value, 0, '', 0);
  return out;
}

class Encoder {
  private readonly budget: Budget;

  constructor(
    private readonly btf: Btf,
    private readonly out: Uint8Array,
  ) {
    this.budget = new Budget(out.length);
  }

  any(id: number, value: unknown, at: number, path: string, depth: number): void {
    tooDeep(depth);
    const type = resolve(this.btf, id);
    switch (type.kind) {
      case 'int':
        this.int(type, value, at * 8 + type.bitOffset, type.bits, path);
        return;
      case 'ptr':
        this.bits(at * 8, 64, this.integer(value, 64, false, path));
        return;
      case 'float':
        this.float(type.size, value, at, path);
        return;
      case 'enum':
        this.enum(type, value, at * 8, type.size * 8, path);
        return;
      case 'array':
        this.array(id, type.type, type.count, value, at, path, depth);
        return;
      case 'struct':
      case 'union':
        this.composite(type, value, at, path, depth);
        return;
      case 'datasec':
        this.datasec(type, value, at, path, depth);
        return;
      default:
        throw this.fail(path, `a ${type.kind} has no value`, 'a type with values');
    }
  }

  private composite(type: Composite, value: unknown, at: number, path: string, depth: number): void {
    const fields = this.fields(
      value,
      path,
      `an object with fields of ${type.kind} ${type.name || '(anonymous)'}`,
    );
    const known = new Map<string, { bit: number; bitSize: number; type: number }>();
    const collect = (inner: Composite, base: number, level: number): void => {
      tooDeep(level);
      for (const member of inner.members) {
        this.budget.spend();
        const bit = base + member.bitOffset;
        if (isAnonymous(this.btf, member))
          collect(resolve(this.btf, member.type) as Composite, bit, level + 1);
        else if (member.name !== '')
          known.set(member.name, { bit, bitSize: member.bitSize, type: member.type });
      }
    };
    collect(type, at * 8, depth);
    for (const [name, item] of Object.entries(fields)) {
      const where = path ? `${path}.${name}` : name;
      const member = known.get(name);
      if (!member) throw this.fail(where, 'no such field', [...known.keys()].join(', ') || 'no fields');
      const inner = resolve(this.btf, member.type);
      const field = member.bitSize > 0 || member.bit % 8 !== 0;
      if (field && inner.kind === 'int')
        this.int(inner, item, member.bit, member.bitSize || inner.bits, where);
      else if (field && inner.kind === 'enum')
        this.enum(inner, item, member.bit, member.bitSize || inner.size * 8, where);
      else this.any(member.type, item, Math.floor(member.bit / 8), where, depth + 1);
    }
  }

  private datasec(
    type: Extract<BtfType, { kind: 'datasec' }>,
    value: unknown,
    at: number,
    path: string,
    depth: number,
  ): void {
    const known = new Map<string, { offset: number; type: number }>();
    for (const entry of type.vars) {
      const variable = typeOf(this.btf, entry.type);
      if (variable.kind === 'var') known.set(variable.name, { offset: entry.offset, type: variable.type });
    }
    for (const [name, item] of Object.entries(
      this.fields(value, path, `an object with variables of ${type.name}`),
    )) {
      const variable = known.get(name);
      const where = path ? `${path}.${name}` : name;
      if (!variable)
        throw this.fail(where, 'no such variable', [...known.keys()].join(', ') || 'no variables');
      this.any(variable.type, item, at + variable.offset, where, depth + 1);
    }
  }

  private array(
    id: number,
    elementId: number,
    count: number,
    value: unknown,
    at: number,
    path: string,
    depth: number,
  ): void {
    const size = sizeOf(this.btf, elementId);
    if (typeof value === 'string' && isChar(this.btf, elementId)) value = Buffer.from(value, 'utf8');
    if (!Array.isArray(value) && !ArrayBuffer.isView(value))
      throw this.fail(path, show(value), isChar(this.btf, elementId) ? 'a string or an array' : 'an array');
    const items = Array.from(value as ArrayLike<unknown>);
    if (items.length > count)
      throw this.fail(path, `${items.length} elements`, `at most ${count} (type ${resolveId(this.btf, id)})`);
    if (isChar(this.btf, elementId)) {
      // Characters are bytes, whatever sign the compiler gives char.
      for (const [i, item] of items.entries()) {
        const byte = typeof item === 'number' && item < 0 ? item + 256 : item;
        this.bits((at + i) * 8, 8, this.integer(byte, 8, false, `${path}[${i}]`));
      }
      return;
    }
    for (const [i, item] of items.entries())
      this.any(elementId, item, at + i * size, `${path}[${i}]`, depth + 1);
  }

  private int(type: Int, value: unknown, bit: number, bits: number, path: string): void {
    if (type.bool && typeof value === 'boolean') value = value ? 1 : 0;
    this.bits(bit, bits, this.integer(value, bits, type.signed, path));
  }

  private enum(type: Enum, value: unknown, bit: number, bits: number, path: string): void {
    if (typeof value === 'string') {
      const named = enumTable(type).byName.get(value);
      if (named === undefined)
        throw this.fail(
          path,
          show(value),
          `a value of enum ${type.name}: ${type.values.map(v => v.name).join(', ')}`,
        );
      value = named;
    }
    this.bits(bit, bits, this.integer(value, bits, type.signed, path));
  }

  /** Integers may be given signed or unsigned as long as they fit the width. */
  private integer(value: unknown, bits: number, signed: boolean, path: string): bigint {
    const low = signed ? -(1n << BigInt(bits - 1)) : 0n;
    const high = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
    const expected = `a whole number, ${low}–${high}`;
    if (typeof value === 'boolean') value = value ? 1 : 0;
    if (typeof value === 'number' ? !Number.isInteger(value) : typeof value !== 'bigint')
      throw this.fail(path, show(value), expected);
    const whole = BigInt(value as number | bigint);
    if (whole < low || whole > high) throw this.fail(path, show(value), expected);
    return BigInt.asUintN(bits, whole);
  }

  private float(size: number, value: unknown, at: number, path: string): void {
    if (typeof value !== 'number') throw this.fail(path, show(value), 'a number');
    this.room(at, size, path);
    checkFloat(size);
    const view = new DataView(this.out.buffer);
    if (size === 4) view.setFloat32(at, value, true);
    else view.setFloat64(at, value, true);
  }

  private bits(bit: number, count: number, value: bigint): void {
    const first = Math.floor(bit / 8);
    const last = Math.ceil((bit + count) / 8);
    this.room(first, last - first, '');
    const shift = BigInt(bit - first * 8);
    const mask = ((1n << BigInt(count)) - 1n) << shift;
    let rest = value << shift;
    let kept = mask;
    for (let i = first; i < last; i++, rest >>= 8n, kept >>= 8n)
      this.out[i] = (this.out[i] & ~Number(kept & 0xffn)) | Number(rest & 0xffn);
  }

  private fields(value: unknown, path: string, expected: string): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value))
      throw this.fail(path, show(value), expected);
    return value as Record<string, unknown>;
  }

  private room(at: number, size: number, path: string): void {
    if (at < 0 || at + size > this.out.length)
      throw new EtherloomError('ERR_BTF_TYPE', `${path || 'a member'} lies at bytes ${at}–${at + size}`, {
        expected: `members inside ${this.out.length} bytes`,
      });
  }

  private fail(path: string, found: string, expected: string): EtherloomError {
    return new EtherloomError('ERR_BTF_VALUE', `${path || 'value'}: ${found}`, { expected });
  }
}

function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}
