/**
 * Typed values: bytes ↔ JavaScript, by BTF type. What map access by field names is made of.
 *
 *   int ≤ 32 bits   number            int > 32 bits, ptr   bigint
 *   _Bool           boolean           float                number
 *   char[N]         string up to the NUL when it is printable UTF-8 and only NULs follow, else bytes as number[]
 *   other arrays    array             struct               object by field name, anonymous members opened
 *   enum            name of the value, else its number     union   object with every member (same bytes, each view)
 *   datasec         object by variable name
 *
 * Encoding takes the same forms, and more: number, bigint or boolean for any integer; string or bytes for char[N];
 * fewer fields or elements (the rest is 0); of a union, one member. Unknown fields and values out of range are errors,
 * so that nothing is cut silently.
 */
import { EtherloomError } from '../../errors.js';
import type { Btf, BtfType } from './btf.js';
import { resolve, resolveId, sizeOf, typeOf } from './types.js';

/** Deepest nesting of structures and arrays; MAX_RESOLVE_DEPTH of the kernel. */
const MAX_DEPTH = 32;

type Composite = Extract<BtfType, { kind: 'struct' | 'union' }>;
type Int = Extract<BtfType, { kind: 'int' }>;
type Enum = Extract<BtfType, { kind: 'enum' }>;

/**
 * JavaScript → bytes of exactly the type's size, little-endian, padding 0.
 * @throws EtherloomError ERR_BTF_VALUE naming the path of the field, ERR_BTF_TYPE when the type has no values
 */
export function encodeValue(btf: Btf, typeId: number, value: unknown): Uint8Array {
  const out = new Uint8Array(sizeOf(btf, typeId));
  new Encoder(btf, out).any(typeId, value, 0, '', 0);
  return out;
}

/**
 * Bytes → JavaScript. More bytes than the type has are ignored (map values may be padded).
 * @throws EtherloomError ERR_BTF_VALUE when there are too few, ERR_BTF_TYPE when the type has no values
 */
export function decodeValue(btf: Btf, typeId: number, bytes: Uint8Array): unknown {
  const size = sizeOf(btf, typeId);
  if (bytes.length < size)
    throw new EtherloomError('ERR_BTF_VALUE', `${bytes.length} bytes for a value`, {
      expected: `${size} bytes`,
    });
  return new Decoder(btf, bytes).any(typeId, 0, 0);
}

const isChar = (btf: Btf, id: number): boolean => {
  const type = resolve(btf, id);
  return type.kind === 'int' && type.size === 1 && !type.bool && (type.char || type.name === 'char');
};

/** A member that holds structures without a name: its fields belong to the outer object. */
const isAnonymous = (btf: Btf, member: { name: string; type: number }): boolean => {
  if (member.name !== '') return false;
  const { kind } = resolve(btf, member.type);
  return kind === 'struct' || kind === 'union';
};

/**
 * Steps that one value may take. Types with real members stay far below; hostile ones whose members have no size
 * would branch without end.
 */
class Budget {
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

function tooDeep(depth: number): void {
  if (depth > MAX_DEPTH)
    throw new EtherloomError('ERR_BTF_TYPE', 'a type contains itself', {
      expected: `nesting of at most ${MAX_DEPTH}`,
    });
}

// ── bytes → JavaScript ──────────────────────────────────────────────────────

class Decoder {
  private readonly view: DataView;
  private readonly budget: Budget;

  constructor(
    private readonly btf: Btf,
    private readonly bytes: Uint8Array,
  ) {
    this.budget = new Budget(bytes.length);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  any(id: number, at: number, depth: number): unknown {
    tooDeep(depth);
    this.budget.spend();
    const type = resolve(this.btf, id);
    switch (type.kind) {
      case 'int':
        return this.int(type, at * 8 + type.bitOffset, type.bits);
      case 'ptr':
        return this.bits(at * 8, 64);
      case 'float':
        this.room(at, type.size);
        return type.size === 4 ? this.view.getFloat32(at, true) : this.view.getFloat64(at, true);
      case 'enum':
        return this.enum(type, at * 8, type.size * 8);
      case 'array':
        return this.array(type.type, type.count, at, depth);
      case 'struct':
      case 'union': {
        const out: Record<string, unknown> = {};
        this.members(type, at, out, depth);
        return out;
      }
      case 'datasec': {
        const out: Record<string, unknown> = {};
        for (const entry of type.vars) {
          const variable = typeOf(this.btf, entry.type);
          if (variable.kind === 'var')
            set(out, variable.name, this.any(variable.type, at + entry.offset, depth + 1));
        }
        return out;
      }
      default:
        throw new EtherloomError('ERR_BTF_TYPE', `a ${type.kind} has no value`, {
          expected: 'a type with values',
        });
    }
  }

  private members(type: Composite, at: number, out: Record<string, unknown>, depth: number): void {
    tooDeep(depth);
    for (const member of type.members) {
      this.budget.spend();
      const inner = resolve(this.btf, member.type);
      if (isAnonymous(this.btf, member)) {
        this.members(inner as Composite, at + member.bitOffset / 8, out, depth + 1);
        continue;
      }
      const bit = at * 8 + member.bitOffset;
      const field = member.bitSize > 0 || bit % 8 !== 0;
      if (field && inner.kind === 'int')
        set(out, member.name, this.int(inner, bit, member.bitSize || inner.bits));
      else if (field && inner.kind === 'enum')
        set(out, member.name, this.enum(inner, bit, member.bitSize || inner.size * 8));
      // Unnamed bit fields are padding.
      else if (member.name !== '')
        set(out, member.name, this.any(member.type, Math.floor(bit / 8), depth + 1));
    }
  }

  private array(elementId: number, count: number, at: number, depth: number): unknown {
    const size = sizeOf(this.btf, elementId);
    this.room(at, size * count);
    if (isChar(this.btf, elementId)) {
      const bytes = this.bytes.subarray(at, at + count);
      return printable(bytes) ?? [...bytes];
    }
    if (size === 0) return [];
    return Array.from({ length: count }, (_, i) => this.any(elementId, at + i * size, depth + 1));
  }

  private int(type: Int, bit: number, bits: number): unknown {
    if (bits > 64) return this.bits(bit, 64) | (this.bits(bit + 64, bits - 64) << 64n);
    const raw = this.bits(bit, bits);
    if (type.bool) return raw !== 0n;
    const value = type.signed ? BigInt.asIntN(bits, raw) : raw;
    // By the declared width, so that one field is always of one JavaScript type.
    return type.size > 4 ? value : Number(value);
  }

  private enum(type: Enum, bit: number, bits: number): unknown {
    const raw = this.bits(bit, bits);
    const value = type.signed ? BigInt.asIntN(bits, raw) : raw;
    const named = type.values.find(v => v.value === value);
    return named ? named.name : type.size > 4 ? value : Number(value);
  }

  private bits(bit: number, count: number): bigint {
    const first = Math.floor(bit / 8);
    const last = Math.ceil((bit + count) / 8);
    this.room(first, last - first);
    let value = 0n;
    for (let i = last - 1; i >= first; i--) value = (value << 8n) | BigInt(this.bytes[i]);
    return BigInt.asUintN(count, value >> BigInt(bit - first * 8));
  }

  /** Members of hostile BTF may lie outside their structure. */
  private room(at: number, size: number): void {
    if (at < 0 || at + size > this.bytes.length)
      throw new EtherloomError('ERR_BTF_TYPE', `a member at bytes ${at}–${at + size}`, {
        expected: `members inside ${this.bytes.length} bytes`,
      });
  }
}

/** Text of a char array: something printable, then only NULs. */
function printable(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  const used = end < 0 ? bytes : bytes.subarray(0, end);
  if (end >= 0 && bytes.subarray(end).some(b => b !== 0)) return undefined;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(used);
  } catch {
    return undefined;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text) ? undefined : text;
}

function set(out: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(out, name, { value, writable: true, enumerable: true, configurable: true });
}

// ── JavaScript → bytes ──────────────────────────────────────────────────────

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
      const named = type.values.find(v => v.name === value);
      if (!named)
        throw this.fail(
          path,
          show(value),
          `a value of enum ${type.name}: ${type.values.map(v => v.name).join(', ')}`,
        );
      value = named.value;
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
