/** Bytes → JavaScript values, by BTF type; the table of forms stands in codec.ts. */
import { EtherloomError } from '../../errors.js';
import type { Btf } from './btf.js';
import { resolve, sizeOf, typeOf } from './types.js';
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
        checkFloat(type.size);
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
    return enumTable(type).byValue.get(value) ?? (type.size > 4 ? value : Number(value));
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
