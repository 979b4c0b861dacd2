/** hash and lru_hash, and what every hash table of the engine shares. */
import { KeyedMap } from './keyed.js';

export abstract class HashTableMap<K, V> extends KeyedMap<K, V> {
  override take(key: K | Uint8Array): V | undefined {
    this.assertReadable();
    this.assertWritable();
    this.putKey(key);
    const bytes = this.store.take();
    return bytes && (this.values_.decode(bytes) as V);
  }
}

export class HashMap<K = unknown, V = unknown> extends HashTableMap<K, V> {
  /** Elements that an LRU map threw out to make room. @throws MapError EOPNOTSUPP in the kernel, which does not tell */
  get evictions(): number {
    return this.header.state2;
  }
}
