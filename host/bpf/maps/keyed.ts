/** Maps with keys: the access that array, hash, LRU, per-CPU, LPM and redirect maps have in common. */
import type { MapSpec } from '../spec.js';
import { arenaStore } from './arena_store.js';
import { type Codec, keyCodec, valueCodec } from './codec.js';
import { MapError } from './errors.js';
import { UpdateFlag } from './flags.js';
import { BpfMap, type MapPlace } from './map.js';
import type { MapStore, StorePlace } from './store.js';

/** What is encoded for one call of a BatchStore, bytes. */
const BATCH_BYTES = 1 << 18;

/**
 * `K` and `V` are what get() returns; set() and get() take bytes as well. Keys and values are copies:
 * writing to what get() returned changes nothing in the map.
 */
export abstract class KeyedMap<K = unknown, V = unknown> extends BpfMap implements Iterable<[K, V]> {
  protected readonly keys_: Codec;
  protected readonly values_: Codec;
  /** Where the elements are. */
  protected readonly store: MapStore;

  constructor(spec: MapSpec, place: MapPlace | StorePlace, codecs: { key?: Codec; value?: Codec } = {}) {
    super(spec, place);
    this.keys_ = codecs.key ?? keyCodec(spec);
    this.values_ = codecs.value ?? valueCodec(spec);
    this.store = 'store' in place ? place.store : arenaStore(spec, place, this.values_.size);
  }

  /** Value under a key, undefined when there is none. A lookup by the host does not count as use for LRU. */
  get(key: K | Uint8Array): V | undefined {
    const bytes = this.getBytes(key);
    return bytes && (this.values_.decode(bytes) as V);
  }

  /** Bytes of the value under a key. */
  getBytes(key: K | Uint8Array): Uint8Array | undefined {
    this.assertReadable();
    this.putKey(key);
    return this.store.lookup();
  }

  has(key: K | Uint8Array): boolean {
    this.assertReadable();
    this.putKey(key);
    return this.store.has();
  }

  /**
   * Inserts or replaces, as `flags` (UpdateFlag) say.
   * @throws MapError ERR_MAP_E2BIG (full, or index past the end), EEXIST, ENOENT, EINVAL, EPERM (frozen)
   */
  set(key: K | Uint8Array, value: V | Uint8Array, flags: number = UpdateFlag.ANY): this {
    this.assertWritable();
    this.putKey(key);
    this.putValue(value);
    this.store.update(flags);
    return this;
  }

  /** Removes a key; false when it was not there. @throws MapError EINVAL for types whose elements stay. */
  delete(key: K | Uint8Array): boolean {
    this.assertWritable();
    this.putKey(key);
    return this.store.delete();
  }

  /** Reads and removes in one step (BPF_MAP_LOOKUP_AND_DELETE_ELEM). */
  take(_key: K | Uint8Array): V | undefined {
    throw this.error('EOPNOTSUPP', 'no lookup-and-delete');
  }

  /** Many lookups at once, in the order of the keys. */
  getBatch(keys: Iterable<K | Uint8Array>): (V | undefined)[] {
    return Array.from(keys, k => this.get(k));
  }

  /** Many updates; stops at the first that fails, whose error tells how many were done. */
  setBatch(
    entries: Iterable<readonly [K | Uint8Array, V | Uint8Array]>,
    flags: number = UpdateFlag.ANY,
  ): number {
    const { batch } = this.store;
    let done = 0;
    try {
      if (batch && flags === UpdateFlag.ANY) {
        this.assertWritable();
        for (const { keys, values, wrong } of this.#rows(entries)) {
          const result = batch.update(keys, values);
          done += result.done;
          if (result.error ?? wrong) throw result.error ?? wrong;
        }
        return done;
      }
      for (const [k, v] of entries) {
        this.set(k, v, flags);
        done++;
      }
      return done;
    } catch (cause) {
      if (!(cause instanceof MapError)) throw cause;
      throw new MapError(cause.code.slice('ERR_MAP_'.length) as 'EINVAL', cause.message, {
        offset: done,
        cause,
      });
    }
  }

  /** Deletes many keys; returns how many were there. */
  deleteBatch(keys: Iterable<K | Uint8Array>): number {
    const { batch } = this.store;
    let done = 0;
    if (!batch) {
      for (const k of keys) if (this.delete(k)) done++;
      return done;
    }
    this.assertWritable();
    for (const { keys: bytes, wrong } of this.#rows(Array.from(keys, k => [k] as const))) {
      done += batch.delete(bytes);
      if (wrong) throw wrong;
    }
    return done;
  }

  /** Entries encoded side by side, so many that a batch takes, up to the first that does not fit. */
  *#rows(entries: Iterable<readonly [unknown, unknown?]>): IterableIterator<{
    keys: Uint8Array;
    values: Uint8Array;
    wrong?: unknown;
  }> {
    const [keySize, valueSize] = [this.store.key.length, this.store.value.length];
    const most = Math.max(1, Math.floor(BATCH_BYTES / (keySize + valueSize)));
    let keys = new Uint8Array(most * keySize);
    let values = new Uint8Array(most * valueSize);
    let n = 0;
    const rows = () => ({ keys: keys.subarray(0, n * keySize), values: values.subarray(0, n * valueSize) });
    for (const [key, value] of entries) {
      try {
        this.keys_.encode(key, keys.subarray(n * keySize, (n + 1) * keySize));
        if (value !== undefined)
          this.values_.encode(value, values.subarray(n * valueSize, (n + 1) * valueSize));
      } catch (wrong) {
        return yield { ...rows(), wrong };
      }
      if (++n < most) continue;
      yield rows();
      keys = new Uint8Array(most * keySize);
      values = new Uint8Array(most * valueSize);
      n = 0;
    }
    if (n) yield rows();
  }

  /** Values that a key has: 1; of per-CPU maps lanes + 1, in the kernel its possible CPUs. */
  get copies(): number {
    return this.store.copies;
  }

  /** Elements held now; of arrays whose entries name something, those that do. */
  get size(): number {
    return this.store.size;
  }

  /** Removes everything. @throws MapError EPERM when the host may not write */
  clear(): void {
    this.assertWritable();
    this.deleteBatch([...this.store.keys()]);
  }

  /**
   * Keys in the order of the kernel's get_next_key. The map may change meanwhile: what stays in it throughout is
   * seen exactly once, what comes or goes may be seen or not.
   */
  *keys(): IterableIterator<K> {
    for (const key of this.rawKeys()) yield this.keys_.decode(key) as K;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  *entries(): IterableIterator<[K, V]> {
    for (const [k, v] of this.rawEntries()) yield [this.keys_.decode(k) as K, this.values_.decode(v) as V];
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  forEach(callback: (value: V, key: K, map: this) => void): void {
    for (const [k, v] of this) callback(v, k, this);
  }

  /** Keys as bytes. */
  *rawKeys(): IterableIterator<Uint8Array> {
    this.assertReadable();
    yield* this.store.keys();
  }

  /** Keys and values as bytes. */
  *rawEntries(): IterableIterator<[Uint8Array, Uint8Array]> {
    if (this.store.batch) {
      this.assertReadable();
      return yield* this.store.batch.entries();
    }
    for (const key of this.rawKeys()) {
      const value = this.getBytes(key);
      if (value) yield [key, value];
    }
  }

  // ── for the types ──

  /** The key that putKey wrote last, for types whose keys are one word. */
  protected get keyWord(): number {
    const { buffer, byteOffset } = this.store.key;
    return new DataView(buffer, byteOffset).getUint32(0, true);
  }

  protected putKey(key: unknown): void {
    this.keys_.encode(key, this.store.key.fill(0));
  }

  protected putValue(value: unknown): void {
    this.values_.encode(value, this.store.value.fill(0));
  }
}
