/**
 * The store: a cache of keys and values in one piece of memory, which several threads may share. Built as MICA's (NSDI '14)
 * lossy one: parts, each an index of buckets and a log that begins anew when it is full, so that storing is appending, the
 * oldest go first, and nothing is ever freed or moved.
 *
 *   part   [lock | tail] [bucket: 8 × {position, tag}] …  [log: {key bytes, value bytes, flags} key value │ … ◀── tail]
 *
 * An index entry holds the position in the log counted from its very beginning: what lies further behind the tail than the
 * log is long was overwritten. A thread holds the lock of one part for the time of one call; one that died in it is followed
 * by its successor, which unlocks: what was half written no index entry names.
 */
import { EtherloomError } from '../../errors.js';
import type { Answers } from '../service.js';
import { KEY_BYTES } from './protocol.js';

export interface StoreOptions {
  /** Items that it should have room for in its index. Default 65,536. */
  items?: number;
  /** Bytes of keys and values, some 16 more for each. Default 64 MiB. */
  bytes?: number;
  /** Longest value, bytes. Default 1 MiB; no part of the log is smaller than twice as much. */
  valueBytes?: number;
}

const MAGIC = 0x6b76_7331;
/** Words of the head of the whole. */
const AT = { magic: 0, parts: 1, buckets: 2, logBytes: 3, valueBytes: 4, seed: 5, words: 16 } as const;
/** Words of the head of a part, a cache line: the lock, and its tail as a float64. */
const PART_WORDS = 16;
const TAIL = 2;
const SLOTS = 8;
/** Words of an entry: a float64 position, 0 = none; the tag; one unused. */
const ENTRY_WORDS = 4;
const BUCKET_WORDS = SLOTS * ENTRY_WORDS;
const ITEM_HEAD = 12;
const MOST_PARTS = 16;
const MOST_BYTES = 2 ** 30;
/** Looks at a lock before the thread sleeps for a while, ms. */
const LOOKS = 2000;
const SLEEP_MS = 1;

const powerOf = (least: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, least)));

export class KvStore {
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #shared: boolean;
  readonly #parts: number;
  readonly #buckets: number;
  readonly #logBytes: number;
  readonly #partWords: number;
  readonly #seed: number;
  readonly valueBytes: number;
  /** Flags of what `get` found. */
  flags = 0;

  /**
   * A store over memory that `create` made, for one thread.
   * @param owner of locks: who has the same after this thread died, and only then, takes them over. From 1 on
   */
  constructor(
    readonly memory: ArrayBuffer | SharedArrayBuffer,
    readonly owner = 1,
  ) {
    this.#u8 = new Uint8Array(memory);
    this.#i32 = new Int32Array(memory);
    this.#f64 = new Float64Array(memory);
    if (this.#i32[AT.magic] !== MAGIC)
      throw new EtherloomError('ERR_KV_MEMORY', 'the memory of no store', { expected: 'KvStore.create' });
    this.#shared = memory instanceof SharedArrayBuffer;
    this.#parts = this.#i32[AT.parts];
    this.#buckets = this.#i32[AT.buckets];
    this.#logBytes = this.#i32[AT.logBytes];
    this.valueBytes = this.#i32[AT.valueBytes];
    this.#seed = this.#i32[AT.seed];
    this.#partWords = PART_WORDS + this.#buckets * BUCKET_WORDS + this.#logBytes / 4;
    for (let part = 0; part < this.#parts; part++) this.#unlockOf(part);
  }

  /** What a thread that died in a call of its own left locked. */
  #unlockOf(part: number): void {
    const lock = AT.words + part * this.#partWords;
    if (Atomics.compareExchange(this.#i32, lock, this.owner, 0) === this.owner)
      Atomics.notify(this.#i32, lock);
  }

  /** Memory for a store. `shared`: several threads have it. @throws EtherloomError ERR_KV_OPTIONS */
  static create(options: StoreOptions = {}, shared = false): ArrayBuffer | SharedArrayBuffer {
    const { items = 65536, bytes = 64 << 20, valueBytes = 1 << 20 } = options;
    check('items', items, 1, 2 ** 26);
    check('bytes', bytes, 4096, MOST_BYTES);
    check('valueBytes', valueBytes, 1, 2 ** 28);
    const least = powerOf(2 * (valueBytes + KEY_BYTES + ITEM_HEAD + 8));
    // More than one part, so that threads seldom meet; but a value must fit into each.
    const parts = shared ? Math.min(MOST_PARTS, powerOf(Math.max(1, Math.floor(bytes / least)) / 2)) : 1;
    const logBytes = Math.max(least, powerOf(bytes / parts));
    // Half full at most: a full bucket loses its oldest item.
    const buckets = powerOf((items * 2) / SLOTS / parts);
    const partWords = PART_WORDS + buckets * BUCKET_WORDS + logBytes / 4;
    const size = (AT.words + parts * partWords) * 4;
    if (size > 2 ** 31 - 8)
      throw new EtherloomError('ERR_KV_OPTIONS', `a store of ${size} bytes`, { expected: 'less than 2 GiB' });
    const memory = shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    const words = new Int32Array(memory);
    words[AT.parts] = parts;
    words[AT.buckets] = buckets;
    words[AT.logBytes] = logBytes;
    words[AT.valueBytes] = valueBytes;
    // Nobody outside knows which keys meet in a bucket.
    words[AT.seed] = (Math.random() * 2 ** 32) | 0;
    const tails = new Float64Array(memory);
    // Position 0 is none.
    for (let p = 0; p < parts; p++) tails[(AT.words + p * partWords + TAIL) >> 1] = 8;
    words[AT.magic] = MAGIC;
    return memory;
  }

  #hash(bytes: Uint8Array, at: number, n: number): number {
    let h = this.#seed ^ n;
    const whole = at + (n & ~3);
    let i = at;
    for (; i < whole; i += 4) {
      h ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
      h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
      h ^= h >>> 15;
    }
    for (; i < at + n; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
    h = Math.imul(h ^ (h >>> 16), 0x846ca68b);
    return (h ^ (h >>> 16)) >>> 0;
  }

  /** Head of the part of a hash, in words. Its upper bits; the lower ones choose the bucket, all are the tag. */
  #part(hash: number): number {
    return AT.words + ((hash >>> 24) & (this.#parts - 1)) * this.#partWords;
  }

  #bucket(part: number, hash: number): number {
    return part + PART_WORDS + (hash & (this.#buckets - 1)) * BUCKET_WORDS;
  }

  #log(part: number): number {
    return (part + PART_WORDS + this.#buckets * BUCKET_WORDS) * 4;
  }

  #lock(part: number): void {
    if (!this.#shared) return;
    for (let looks = 0; Atomics.compareExchange(this.#i32, part, 0, this.owner) !== 0; looks++)
      if (looks >= LOOKS)
        Atomics.wait(this.#i32, part, Atomics.load(this.#i32, part) || this.owner, SLEEP_MS);
  }

  #unlock(part: number): void {
    if (this.#shared) Atomics.store(this.#i32, part, 0);
  }

  /** Index of the entry of a key, in words; -1: it is not there. */
  #find(part: number, hash: number, bytes: Uint8Array, at: number, n: number): number {
    const first = this.#bucket(part, hash);
    const tail = this.#f64[(part + TAIL) >> 1];
    for (let e = first; e < first + BUCKET_WORDS; e += ENTRY_WORDS) {
      if (this.#i32[e + 2] !== (hash | 0)) continue;
      const position = this.#f64[e >> 1];
      if (position === 0 || tail - position > this.#logBytes) continue;
      if (this.#isKey(this.#log(part) + (position & (this.#logBytes - 1)), bytes, at, n)) return e;
    }
    return -1;
  }

  #isKey(item: number, bytes: Uint8Array, at: number, n: number): boolean {
    const u8 = this.#u8;
    if (this.#i32[item >> 2] !== n) return false;
    for (let i = 0, k = item + ITEM_HEAD; i < n; i++, k++) if (u8[k] !== bytes[at + i]) return false;
    return true;
  }

  /** Appends the value of a key to `out`. Its length; -1: it is not there. `flags` then has its flags. */
  get(bytes: Uint8Array, at: number, n: number, out: Answers): number {
    const hash = this.#hash(bytes, at, n);
    const part = this.#part(hash);
    this.#lock(part);
    try {
      const e = this.#find(part, hash, bytes, at, n);
      if (e < 0) return -1;
      const item = this.#log(part) + (this.#f64[e >> 1] & (this.#logBytes - 1));
      const length = this.#i32[(item + 4) >> 2];
      this.flags = this.#i32[(item + 8) >> 2];
      this.#copyOut(item + ITEM_HEAD + n, length, out);
      return length;
    } finally {
      // There may be no memory for the answer.
      this.#unlock(part);
    }
  }

  #copyOut(from: number, n: number, out: Answers): void {
    const to = out.reserve(n);
    const { bytes } = out;
    if (n > 128) bytes.set(this.#u8.subarray(from, from + n), to);
    else for (let i = 0; i < n; i++) bytes[to + i] = this.#u8[from + i];
  }

  /** Whether there is such a key. */
  has(bytes: Uint8Array, at: number, n: number): boolean {
    const hash = this.#hash(bytes, at, n);
    const part = this.#part(hash);
    this.#lock(part);
    const found = this.#find(part, hash, bytes, at, n) >= 0;
    this.#unlock(part);
    return found;
  }

  /**
   * Stores the value at `valueAt` of `bytes` under the key at `at`. `when`: 1 only when the key is there already, -1 only when
   * it is not, 0 in any case. Whether it was stored.
   */
  set(
    bytes: Uint8Array,
    at: number,
    n: number,
    valueAt: number,
    valueBytes: number,
    flags = 0,
    when = 0,
  ): boolean {
    if (n === 0 || n > KEY_BYTES || valueBytes > this.valueBytes) return false;
    const hash = this.#hash(bytes, at, n);
    const part = this.#part(hash);
    this.#lock(part);
    const e = this.#find(part, hash, bytes, at, n);
    const may = when === 0 || (when > 0 ? e >= 0 : e < 0);
    if (may) {
      const position = this.#room(part, ITEM_HEAD + n + valueBytes);
      const item = this.#log(part) + (position & (this.#logBytes - 1));
      this.#i32[item >> 2] = n;
      this.#i32[(item + 4) >> 2] = valueBytes;
      this.#i32[(item + 8) >> 2] = flags;
      this.#copyIn(item + ITEM_HEAD, bytes, at, n);
      this.#copyIn(item + ITEM_HEAD + n, bytes, valueAt, valueBytes);
      const entry = e >= 0 ? e : this.#oldest(part, hash);
      this.#i32[entry + 2] = hash | 0;
      this.#f64[entry >> 1] = position;
    }
    this.#unlock(part);
    return may;
  }

  #copyIn(to: number, bytes: Uint8Array, from: number, n: number): void {
    if (n > 128) this.#u8.set(bytes.subarray(from, from + n), to);
    else for (let i = 0; i < n; i++) this.#u8[to + i] = bytes[from + i];
  }

  /** Position of `n` bytes at the tail of a log. What lies there is none of the index any more when this returns. */
  #room(part: number, n: number): number {
    const at = (part + TAIL) >> 1;
    const size = (n + 7) & ~7;
    let position = this.#f64[at];
    const left = this.#logBytes - (position & (this.#logBytes - 1));
    // An item lies in one piece.
    if (left < size) position += left;
    this.#f64[at] = position + size;
    return position;
  }

  /** The entry of a bucket that is free, or whose item is the oldest. */
  #oldest(part: number, hash: number): number {
    const first = this.#bucket(part, hash);
    let oldest = first;
    for (let e = first; e < first + BUCKET_WORDS; e += ENTRY_WORDS)
      if (this.#f64[e >> 1] < this.#f64[oldest >> 1]) oldest = e;
    return oldest;
  }

  /** Whether it was there. */
  delete(bytes: Uint8Array, at: number, n: number): boolean {
    const hash = this.#hash(bytes, at, n);
    const part = this.#part(hash);
    this.#lock(part);
    const e = this.#find(part, hash, bytes, at, n);
    if (e >= 0) this.#f64[e >> 1] = 0;
    this.#unlock(part);
    return e >= 0;
  }
}

function check(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new EtherloomError('ERR_KV_OPTIONS', `${name}: ${value}`, {
    expected: `a whole number from ${least} to ${most}`,
  });
}
