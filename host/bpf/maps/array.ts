/** array. Every index from 0 to maxEntries - 1 is always there. */
import type { MapSpec } from '../spec.js';
import { type Codec, indexCodec } from './codec.js';
import { KeyedMap } from './keyed.js';
import type { MapPlace } from './map.js';

/** Keys 0 … count - 1 as bytes. */
export function* indexKeys(count: number): IterableIterator<Uint8Array> {
  for (let i = 0; i < count; i++) {
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, i, true);
    yield key;
  }
}

export class ArrayMap<V = unknown> extends KeyedMap<number, V> {
  constructor(spec: MapSpec, place: MapPlace, codecs: { value?: Codec } = {}) {
    super(spec, place, { key: indexCodec, ...codecs });
  }

  override get size(): number {
    return this.maxEntries;
  }

  /** Sets every value to zero: elements of an array cannot be removed. */
  override clear(): void {
    this.assertWritable();
    const { dataAt, dataBytes } = this.header;
    this.arena.u8.fill(0, dataAt, dataAt + dataBytes);
  }

  override rawKeys(): IterableIterator<Uint8Array> {
    return indexKeys(this.maxEntries);
  }
}
