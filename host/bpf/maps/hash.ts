/** hash and lru_hash. */
import { KeyedMap } from './keyed.js';

export class HashMap<K = unknown, V = unknown> extends KeyedMap<K, V> {
  /** Elements that an LRU map threw out to make room. @throws MapError EOPNOTSUPP in the kernel, which does not tell */
  get evictions(): number {
    return this.header.state2;
  }

  override take(key: K | Uint8Array): V | undefined {
    this.assertReadable();
    this.assertWritable();
    this.putKey(key);
    const bytes = this.store.take();
    return bytes && (this.values_.decode(bytes) as V);
  }
}
