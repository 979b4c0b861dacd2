/** queue, stack and bloom_filter: maps without keys. */
import type { MapSpec } from '../spec.js';
import { type Codec, valueCodec } from './codec.js';
import { check, Errno } from './errors.js';
import { UpdateFlag } from './flags.js';
import { BpfMap, type MapPlace } from './map.js';

const ENOENT = BigInt(-Errno.ENOENT);

abstract class ValueMap<V> extends BpfMap {
  protected readonly codec: Codec;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place);
    this.codec = valueCodec(spec);
  }

  protected put(value: unknown): number {
    const at = this.storage.valueBuf;
    const into = this.arena.u8.subarray(at, at + this.valueSize);
    into.fill(0);
    this.codec.encode(value, into);
    return at;
  }

  protected taken(): V {
    const at = this.storage.valueBuf;
    return this.codec.decode(this.arena.u8.slice(at, at + this.valueSize)) as V;
  }

  /**
   * Adds a value. A full queue or stack refuses it with ERR_MAP_E2BIG, or drops its oldest under
   * UpdateFlag.EXIST.
   */
  push(value: V | Uint8Array, flags: number = UpdateFlag.ANY): void {
    this.assertWritable();
    check(
      this.core.exports.map_push_elem(this.addr, this.put(value), BigInt(flags)),
      () => `map "${this.name}": push`,
    );
  }
}

/** queue: first in, first out. stack: last in, first out. */
export class QueueMap<V = unknown> extends ValueMap<V> implements Iterable<V> {
  get size(): number {
    return Atomics.load(this.arena.u32, (this.addr + 64) >>> 2);
  }

  /** Removes and returns the next value; undefined when there is none. */
  pop(): V | undefined {
    this.assertReadable();
    this.assertWritable();
    return this.#result(this.core.exports.map_pop_elem(this.addr, this.storage.valueBuf));
  }

  /** The value that pop() would return. */
  peek(): V | undefined {
    this.assertReadable();
    return this.#result(this.core.exports.map_peek_elem(this.addr, this.storage.valueBuf));
  }

  #result(result: bigint): V | undefined {
    if (result === ENOENT) return undefined;
    check(result, () => `map "${this.name}": read`);
    return this.taken();
  }

  /** Pops until it is empty. */
  *[Symbol.iterator](): IterableIterator<V> {
    for (let v = this.pop(); v !== undefined; v = this.pop()) yield v;
  }

  clear(): void {
    while (this.pop() !== undefined);
  }
}

/** bloom_filter: has() may be wrong when it says yes, never when it says no. */
export class BloomFilterMap<V = unknown> extends ValueMap<V> {
  /** Whether the value may have been pushed. */
  has(value: V | Uint8Array): boolean {
    this.assertReadable();
    const result = this.core.exports.map_peek_elem(this.addr, this.put(value));
    if (result === ENOENT) return false;
    check(result, () => `map "${this.name}": has`);
    return true;
  }
}
