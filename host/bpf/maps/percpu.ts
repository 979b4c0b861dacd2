/**
 * percpu_array, percpu_hash, lru_percpu_hash: get() returns one value per lane, set() takes them.
 * The last value is the host's own copy, used by programs that run on its thread.
 */
import type { MapSpec } from '../spec.js';
import { ArrayMap } from './array.js';
import { type Codec, putBytes, valueCodec } from './codec.js';
import { MapError } from './errors.js';
import { HashMap } from './hash.js';
import type { MapPlace } from './map.js';
import { roundUp } from './storage.js';
import type { StorePlace } from './store.js';

/** Copies of one value side by side, each rounded up to 8 bytes, as the kernel's syscalls pass them. */
export function lanesCodec(one: Codec, copies: number): Codec {
  const stride = roundUp(one.size, 8);
  return {
    size: stride * copies,
    encode(value, into) {
      if (value instanceof Uint8Array) return putBytes(value, into);
      if (!Array.isArray(value) || value.length !== copies)
        throw new MapError('EINVAL', 'a per-CPU value', {
          expected: `an array of ${copies} values: one per lane and the host's`,
        });
      value.forEach((v, i) => {
        one.encode(v, into.subarray(i * stride, i * stride + one.size));
      });
    },
    decode: from =>
      Array.from({ length: copies }, (_, i) => one.decode(from.slice(i * stride, i * stride + one.size))),
  };
}

/** Adds values field by field: numbers, bigints, and objects or arrays of them. Bytes count as u64 words. */
export function addValues(values: readonly unknown[]): unknown {
  const first = values[0];
  if (typeof first === 'bigint') return (values as bigint[]).reduce((a, b) => a + b, 0n);
  if (typeof first === 'number') return (values as number[]).reduce((a, b) => a + b, 0);
  if (first instanceof Uint8Array) {
    const words = (values as Uint8Array[]).map(bytesToWords);
    return first.length <= 8 ? addValues(words.map(w => w[0])) : addValues(words);
  }
  if (Array.isArray(first)) return first.map((_, i) => addValues((values as unknown[][]).map(v => v[i])));
  if (first && typeof first === 'object')
    return Object.fromEntries(
      Object.keys(first).map(k => [k, addValues((values as Record<string, unknown>[]).map(v => v[k]))]),
    );
  return first;
}

function bytesToWords(bytes: Uint8Array): bigint[] {
  const padded = new Uint8Array(roundUp(bytes.length, 8));
  padded.set(bytes);
  const dv = new DataView(padded.buffer);
  return Array.from({ length: padded.length / 8 }, (_, i) => dv.getBigUint64(i * 8, true));
}

const copiesOf = (place: MapPlace | StorePlace): number =>
  'store' in place ? place.store.copies : place.storage.header.lanes;

interface PerCpu<K, V> {
  /** One lane's value under a key. */
  getLane(key: K | Uint8Array, lane: number): V | undefined;
  /** The sum over all lanes, field by field: what a counter map is for. Bytes are added as u64 words. */
  sum(key: K | Uint8Array): unknown;
}

const sumOf = (values: readonly unknown[] | undefined): unknown => values && addValues(values);

export class PerCpuArrayMap<V = unknown> extends ArrayMap<V[]> implements PerCpu<number, V> {
  constructor(spec: MapSpec, place: MapPlace | StorePlace) {
    super(spec, place, { value: lanesCodec(valueCodec(spec), copiesOf(place)) });
  }
  getLane(key: number | Uint8Array, lane: number): V | undefined {
    return this.get(key)?.[lane];
  }
  sum(key: number | Uint8Array): unknown {
    return sumOf(this.get(key));
  }
}

export class PerCpuHashMap<K = unknown, V = unknown> extends HashMap<K, V[]> implements PerCpu<K, V> {
  constructor(spec: MapSpec, place: MapPlace | StorePlace) {
    super(spec, place, { value: lanesCodec(valueCodec(spec), copiesOf(place)) });
  }
  getLane(key: K | Uint8Array, lane: number): V | undefined {
    return this.get(key)?.[lane];
  }
  sum(key: K | Uint8Array): unknown {
    return sumOf(this.get(key));
  }
}
