/** hash and lru_hash, and the walk over buckets that every hash table of the engine shares. */
import { check, Errno } from './errors.js';
import { KeyedMap } from './keyed.js';
import { ELEM_KEY } from './storage.js';

/** A map on assembly/bpf/maps/hash_table.ts. */
export abstract class HashTableMap<K, V> extends KeyedMap<K, V> {
  /**
   * Elements, bucket by bucket and without a lock. A bucket is read again when it changed under the reader
   * (the chain ended at another bucket's marker).
   */
  protected *elements(): IterableIterator<number> {
    const { aux0: buckets, aux1: mask } = this.header;
    const words = this.arena.u32;
    const limit = this.maxEntries + this.header.lanes;
    for (let b = 0; b <= mask; b++) {
      let chain: number[] = [];
      for (let tries = 0; tries < 8; tries++) {
        chain = [];
        let e = Atomics.load(words, (buckets >>> 2) + 2 * b);
        while (!(e & 1) && chain.length <= limit) {
          chain.push(e);
          e = Atomics.load(words, e >>> 2);
        }
        if (e === ((b << 2) | 1) >>> 0) break;
      }
      yield* chain;
    }
  }

  override *rawKeys(): IterableIterator<Uint8Array> {
    this.assertReadable();
    for (const e of this.elements()) yield this.arena.u8.slice(e + ELEM_KEY, e + ELEM_KEY + this.keySize);
  }

  override take(key: K | Uint8Array): V | undefined {
    this.assertReadable();
    this.assertWritable();
    this.putKey(key);
    const { keyBuf, valueBuf } = this.storage;
    const result = this.core.exports.map_lookup_and_delete_elem(this.addr, keyBuf, valueBuf);
    if (result === BigInt(-Errno.ENOENT)) return undefined;
    check(result, () => this.label('take'));
    return this.values_.decode(this.arena.u8.slice(valueBuf, valueBuf + this.values_.size)) as V;
  }
}

export class HashMap<K = unknown, V = unknown> extends HashTableMap<K, V> {
  /** Elements that an LRU map threw out to make room. */
  get evictions(): number {
    return this.header.state2;
  }
}
