/**
 * Text in map configurations that stands for numbers in network order. What it may stand for is the BTF type's say:
 *
 *   32-bit integer  "10.0.0.1", "be32:1"      16-bit integer  "be16:80"
 *   byte[4]         "10.0.0.1"                byte[6]         "02:00:00:00:00:01"
 *   byte[16], 16-bit[8], 32-bit[4]            "fd00::1"
 *
 * Text for char arrays and enums is left as it is. Without BTF the size decides: 2, 4, 6 or 16 bytes.
 */
import { isIP } from 'node:net';
import { EtherloomError } from '../errors.js';
import { isMac, parseIp, parseMac } from '../wire/address.js';
import type { Btf } from './btf/btf.js';
import { layout, resolve, sizeOf, typeOf } from './btf/types.js';
import { isChar, tooDeep } from './btf/walk.js';
import type { MapSpec } from './spec.js';

/** Bytes in network order that a text stands for, undefined when it is none of the spellings. */
function bytesOf(text: string, path: string): Uint8Array | undefined {
  const be = /^be(16|32):(.*)$/.exec(text);
  if (be) {
    const most = 2 ** Number(be[1]) - 1;
    const n = Number(be[2]);
    if (!/^\d+$/.test(be[2]) || n > most)
      throw new EtherloomError('ERR_CONFIG_TEXT', `${path}: "${text}"`, {
        expected: `be${be[1]}:0 … be${be[1]}:${most}`,
      });
    const bytes = [n >>> 24, n >>> 16, n >>> 8, n];
    return Uint8Array.from(be[1] === '16' ? bytes.slice(2) : bytes);
  }
  // A zone has no place in 16 bytes: left to the reader of addresses, which says so.
  if (isIP(text)) return parseIp(text);
  return isMac(text) ? parseMac(text) : undefined;
}

/** Little-endian elements of `size` bytes whose memory is `bytes`. */
function elements(bytes: Uint8Array, size: number): number[] {
  return Array.from({ length: bytes.length / size }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size).reduceRight((sum, byte) => sum * 256 + byte, 0),
  );
}

function misfit(text: string, bytes: number, size: number, path: string): never {
  throw new EtherloomError('ERR_CONFIG_TEXT', `${path}: "${text}" stands for ${bytes} bytes`, {
    expected: `${size} bytes`,
  });
}

/** Replaces text by what it stands for where the type makes it a number or numbers. @throws EtherloomError ERR_CONFIG_TEXT naming the field */
export function resolveTyped(btf: Btf, typeId: number, value: unknown, path: string, depth = 0): unknown {
  tooDeep(depth);
  const type = resolve(btf, typeId);
  if (typeof value === 'string') {
    if (type.kind !== 'int' && type.kind !== 'array') return value;
    if (type.kind === 'array' && (isChar(btf, type.type) || resolve(btf, type.type).kind !== 'int'))
      return value;
    const bytes = bytesOf(value, path);
    if (!bytes) return value;
    const size = sizeOf(btf, typeId);
    if (bytes.length !== size) misfit(value, bytes.length, size, path);
    if (type.kind === 'array') return elements(bytes, sizeOf(btf, type.type));
    const [bits] = elements(bytes, size);
    return type.signed && bits >= 2 ** (size * 8 - 1) ? bits - 2 ** (size * 8) : bits;
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value))
    return type.kind === 'array'
      ? value.map((item, i) => resolveTyped(btf, type.type, item, `${path}[${i}]`, depth + 1))
      : value;
  const members =
    type.kind === 'struct' || type.kind === 'union'
      ? layout(btf, typeId)
      : type.kind === 'datasec'
        ? type.vars.map(v => typeOf(btf, v.type)).filter(v => v.kind === 'var')
        : [];
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const member = members.find(m => m.name === name);
      return [name, member ? resolveTyped(btf, member.type, item, `${path}.${name}`, depth + 1) : item];
    }),
  );
}

const NETWORK_ORDER: Readonly<Record<string, 16 | 32>> = { __be16: 16, __be32: 32 };

/** Bits of a type that is __be16 or __be32, by whatever name besides. */
function networkBits(btf: Btf, typeId: number): 16 | 32 | undefined {
  for (let id = typeId, depth = 0; ; depth++) {
    tooDeep(depth);
    const type = typeOf(btf, id);
    if (type.kind === 'typedef' && NETWORK_ORDER[type.name]) return NETWORK_ORDER[type.name];
    if (type.kind !== 'typedef' && type.kind !== 'const' && type.kind !== 'volatile') return undefined;
    id = type.type;
  }
}

/** The other way: numbers of types __be16 and __be32 as text that `resolveTyped` takes back. */
export function showTyped(btf: Btf, typeId: number, value: unknown, depth = 0): unknown {
  tooDeep(depth);
  if (typeof value === 'number') {
    const bits = networkBits(btf, typeId);
    if (bits === undefined) return value;
    const bytes = [value, value >>> 8, value >>> 16, value >>> 24].map(b => b & 255);
    return bits === 32 ? bytes.join('.') : `be16:${(bytes[0] << 8) | bytes[1]}`;
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  const type = resolve(btf, typeId);
  if (Array.isArray(value))
    return type.kind === 'array' ? value.map(item => showTyped(btf, type.type, item, depth + 1)) : value;
  const members = type.kind === 'struct' || type.kind === 'union' ? layout(btf, typeId) : [];
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const member = members.find(m => m.name === name);
      return [name, member ? showTyped(btf, member.type, item, depth + 1) : item];
    }),
  );
}

/** A key or value of a map as it is printed: what is in network order as text. */
export function showText(spec: MapSpec, what: 'key' | 'value', value: unknown): unknown {
  const id = what === 'key' ? spec.btf?.keyId : spec.btf?.valueId;
  return spec.btf && id ? showTyped(spec.btf.types, id, value) : value;
}

/** A key or value of a map, text resolved. @throws EtherloomError ERR_CONFIG_TEXT naming the field */
export function resolveText(spec: MapSpec, what: 'key' | 'value', value: unknown): unknown {
  const id = what === 'key' ? spec.btf?.keyId : spec.btf?.valueId;
  if (spec.btf && id) return resolveTyped(spec.btf.types, id, value, what);
  // Tries read prefixes themselves.
  if (typeof value !== 'string' || (what === 'key' && spec.type === 'lpm_trie')) return value;
  const bytes = bytesOf(value, what);
  const size = what === 'key' ? spec.keySize : spec.valueSize;
  if (bytes && bytes.length !== size) misfit(value, bytes.length, size, what);
  return bytes ?? value;
}
