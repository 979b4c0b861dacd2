/**
 * Keys and values as TypeScript sees them: bytes always, objects by field name where BTF tells the type,
 * plain numbers where the size allows it.
 */
import type { Btf } from '../btf/btf.js';
import { decodeValue, encodeValue } from '../btf/codec.js';
import { sizeOf } from '../btf/types.js';
import type { MapSpec } from '../spec.js';
import { MapError } from './errors.js';

/** What set() and get() accept as key or value. */
export type MapData = Uint8Array | number | bigint | boolean | string | MapDataObject | readonly unknown[];
export interface MapDataObject {
  readonly [field: string]: unknown;
}

export interface Codec {
  /** Bytes of one encoded value. */
  readonly size: number;
  /** Writes `value` over `into`, which is zeroed first. @throws MapError EINVAL */
  encode(value: unknown, into: Uint8Array): void;
  /** Reads a value; the result does not alias `from`. */
  decode(from: Uint8Array): unknown;
}

/** Little-endian number of 1 to 8 bytes, sign taken as it comes. */
export function putNumber(value: number | bigint, into: Uint8Array): void {
  const bits = into.length * 8;
  const n = typeof value === 'bigint' ? value : Number.isInteger(value) ? BigInt(value) : undefined;
  if (n === undefined || (BigInt.asUintN(bits, n) !== n && BigInt.asIntN(bits, n) !== n))
    throw new MapError('EINVAL', `${value} does not fit ${into.length} bytes`, {
      expected: `a whole number of ${bits} bits`,
    });
  let rest = BigInt.asUintN(bits, n);
  for (let i = 0; i < into.length; i++, rest >>= 8n) into[i] = Number(rest & 255n);
}

export function putBytes(value: Uint8Array, into: Uint8Array): void {
  if (value.length !== into.length)
    throw new MapError('EINVAL', `${value.length} bytes`, { expected: `${into.length} bytes` });
  into.set(value);
}

/** Without type information: bytes in, bytes out; numbers are taken for sizes up to 8. */
export function rawCodec(size: number): Codec {
  return {
    size,
    encode(value, into) {
      if (value instanceof Uint8Array) return putBytes(value, into);
      if ((typeof value === 'number' || typeof value === 'bigint') && size <= 8)
        return putNumber(value, into);
      throw new MapError('EINVAL', `a ${typeof value} where the map has no type information`, {
        expected: size <= 8 ? `${size} bytes, or a whole number` : `${size} bytes`,
      });
    },
    decode: from => from.slice(),
  };
}

/** A u32 index: keys of the array family. */
export const indexCodec: Codec = {
  size: 4,
  encode(value, into) {
    if (value instanceof Uint8Array) return putBytes(value, into);
    if (typeof value !== 'number' && typeof value !== 'bigint')
      throw new MapError('EINVAL', `a ${typeof value} as index`, { expected: 'a whole number from 0' });
    putNumber(value, into);
  },
  decode: from => new DataView(from.buffer, from.byteOffset, 4).getUint32(0, true),
};

/** By BTF: objects by field name, numbers, bigints, strings, arrays (see btf/codec.ts); bytes are taken too. */
export function btfCodec(btf: Btf, typeId: number, size: number): Codec {
  return {
    size,
    encode(value, into) {
      if (value instanceof Uint8Array && value.length === size) return putBytes(value, into);
      into.set(encodeValue(btf, typeId, value));
    },
    decode: from => decodeValue(btf, typeId, from),
  };
}

/** The typed codec where BTF knows a type of that size, the raw one elsewhere. */
export function codecFor(btf: Btf | undefined, typeId: number, size: number): Codec {
  if (!btf || !typeId) return rawCodec(size);
  try {
    if (sizeOf(btf, typeId) > size) return rawCodec(size);
  } catch {
    // Type information that has no size is no help, and no harm.
    return rawCodec(size);
  }
  return btfCodec(btf, typeId, size);
}

/** Codec of the map's keys. */
export function keyCodec(spec: MapSpec): Codec {
  return codecFor(spec.btf?.types, spec.btf?.keyId ?? 0, spec.keySize);
}

/** Codec of the map's values. */
export function valueCodec(spec: MapSpec): Codec {
  return codecFor(spec.btf?.types, spec.btf?.valueId ?? 0, spec.valueSize);
}

/** Decoder of ring buffer records: by the map's BTF value type, bytes without one and for records too short for it. */
export function recordDecoder(spec: MapSpec): (record: Uint8Array) => unknown {
  const btf = spec.btf;
  if (!btf?.valueId) return record => record;
  const codec = codecFor(btf.types, btf.valueId, Number.MAX_SAFE_INTEGER);
  const size = sizeOf(btf.types, btf.valueId);
  return record => (record.length < size ? record : codec.decode(record));
}
