/** Maps with keys: the access that array, hash, LRU, per-CPU, LPM and redirect maps have in common. */
import type { MapSpec } from '../spec.js';
import { type Codec, keyCodec, valueCodec } from './codec.js';
import { check, Errno, MapError } from './errors.js';
import { UpdateFlag } from './flags.js';
import { BpfMap, type MapPlace } from './map.js';
import { loadBytes } from './words.js';

const ENOENT = BigInt(-Errno.ENOENT);

/** Tries to read a value that stays in its place meanwhile. */
const READ_TRIES = 16;

/**
 * `K` and `V` are what get() returns; set() and get() take bytes as well. Keys and values are copies:
 * writing to what get() returned changes nothing in the map.
 */
export abstract class KeyedMap<K = unknown, V = unknown> extends BpfMap implements Iterable<[K, V]> {
  protected readonly keys_: Codec;
  protected readonly values_: Codec;

  constructor(spec: MapSpec, place: MapPlace, codecs: { key?: Codec; value?: Codec } = {}) {
    super(spec, place);
    this.keys_ = codecs.key ?? keyCodec(spec);
    this.values_ = codecs.value ?? valueCodec(spec);
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
    return this.readStable(() => this.lookup());
  }

  has(key: K | Uint8Array): boolean {
    this.assertReadable();
    this.putKey(key);
    return this.lookup() !== 0;
  }

  /**
   * Inserts or replaces, as `flags` (UpdateFlag) say.
   * @throws MapError ERR_MAP_E2BIG (full, or index past the end), EEXIST, ENOENT, EINVAL, EPERM (frozen)
   */
  set(key: K | Uint8Array, value: V | Uint8Array, flags: number = UpdateFlag.ANY): this {
    this.assertWritable();
    this.putKey(key);
    this.putValue(value);
    check(this.update(BigInt(flags)), () => this.label('set'));
    return this;
  }

  /** Removes a key; false when it was not there. @throws MapError EINVAL for types whose elements stay. */
  delete(key: K | Uint8Array): boolean {
    this.assertWritable();
    this.putKey(key);
    const result = this.core.exports.map_delete_elem(this.addr, this.storage.keyBuf);
    if (result === ENOENT) return false;
    check(result, () => this.label('delete'));
    return true;
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
    let done = 0;
    for (const [k, v] of entries) {
      try {
        this.set(k, v, flags);
      } catch (cause) {
        if (!(cause instanceof MapError)) throw cause;
        throw new MapError(cause.code.slice('ERR_MAP_'.length) as 'EINVAL', cause.message, {
          offset: done,
          cause,
        });
      }
      done++;
    }
    return done;
  }

  /** Deletes many keys; returns how many were there. */
  deleteBatch(keys: Iterable<K | Uint8Array>): number {
    let done = 0;
    for (const k of keys) if (this.delete(k)) done++;
    return done;
  }

  /** Elements held now. */
  get size(): number {
    return Atomics.load(this.arena.u32, (this.addr + 64) >>> 2);
  }

  /** Removes everything. */
  clear(): void {
    for (const key of [...this.rawKeys()]) this.delete(key);
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
  abstract rawKeys(): IterableIterator<Uint8Array>;

  /** Keys and values as bytes. */
  *rawEntries(): IterableIterator<[Uint8Array, Uint8Array]> {
    for (const key of this.rawKeys()) {
      const value = this.getBytes(key);
      if (value) yield [key, value];
    }
  }

  // ── for the types ──

  protected label(doing: string): string {
    return `map "${this.name}" (${this.type}): ${doing}`;
  }

  /** The key that putKey wrote last, for types whose keys are one word. */
  protected get keyWord(): number {
    return this.arena.u32[this.storage.keyBuf >>> 2];
  }

  protected putKey(key: unknown): void {
    const at = this.storage.keyBuf;
    const into = this.arena.u8.subarray(at, at + this.spec.keySize);
    into.fill(0);
    this.keys_.encode(key, into);
  }

  protected putValue(value: unknown): void {
    const at = this.storage.valueBuf;
    const into = this.arena.u8.subarray(at, at + this.values_.size);
    into.fill(0);
    this.values_.encode(value, into);
  }

  /** Address of the value under the key in keyBuf. */
  protected lookup(): number {
    return this.core.exports.map_lookup_sys(this.addr, this.storage.keyBuf) >>> 0;
  }

  protected update(flags: bigint): bigint {
    return this.core.exports.map_update_elem(this.addr, this.storage.keyBuf, this.storage.valueBuf, flags);
  }

  /** Copies a value out: under its bpf_spin_lock if it has one, whose word then reads as 0. */
  protected copyOut(at: number): Uint8Array {
    const lock = this.header.valueLock;
    if (!lock) return loadBytes(this.arena, at, this.spec.valueSize);
    this.core.exports.spin_lock(at + lock - 1);
    const bytes = this.arena.u8.slice(at, at + this.spec.valueSize);
    this.core.exports.spin_unlock(at + lock - 1);
    return bytes.fill(0, lock - 1, lock + 3);
  }

  /** Copies a value; again when its element was recycled under the copy. */
  protected readStable(find: () => number): Uint8Array | undefined {
    let at = find();
    for (let i = 0; at && i < READ_TRIES; i++) {
      const bytes = this.copyOut(at);
      const again = find();
      if (again === at) return bytes;
      at = again;
    }
    return at ? this.copyOut(at) : undefined;
  }
}
