/**
 * Elements of a map in the real kernel, through bpf(2): below the same classes as the arena's maps, so that
 * `--engine kernel` maps are read and written by the same typed calls.
 *
 *   typedMap(kernelMap) ─▶ HashMap, PerCpuArrayMap, LpmTrieMap … ─▶ KernelStore ─▶ bpf(2)
 */
import { EtherloomError } from '../../errors.js';
import { ArrayMap } from '../maps/array.js';
import { Errno, type ErrnoName, MapError } from '../maps/errors.js';
import { UpdateFlag } from '../maps/flags.js';
import { HashMap } from '../maps/hash.js';
import type { KeyedMap } from '../maps/keyed.js';
import { LpmTrieMap } from '../maps/lpm.js';
import { PerCpuArrayMap, PerCpuHashMap } from '../maps/percpu.js';
import type { BatchStore, StorePlace } from '../maps/store.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { bpf, Cmd, errnoName, MAP_ELEM } from './attr.js';
import { KernelDevMap } from './devmap.js';
import { type KernelMap, possibleCpus } from './map.js';
import { deleteBatch, lookupBatch, updateBatch } from './map_batch.js';

type Store = StorePlace['store'];

/** What the kernel says where it has no batches of a type. */
const NO_BATCH = 'ENOTSUPP';

class KernelStore implements Store {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly copies: number;
  readonly batch: BatchStore = {
    entries: () => this.#entries(),
    update: (keys, values) => this.#updateAll(keys, values),
    delete: keys => this.#deleteAll(keys),
  };

  constructor(
    readonly map: KernelMap,
    readonly spec: MapSpec,
  ) {
    this.key = new Uint8Array(spec.keySize);
    this.value = new Uint8Array(map.valueBytes);
    this.copies = map.perCpu ? possibleCpus() : 1;
  }

  /** The kernel tells no count: a walk over the keys. */
  get size(): number {
    let n = 0;
    for (const _ of this.keys()) n++;
    return n;
  }

  lookup(): Uint8Array | undefined {
    const value = new Uint8Array(this.value.length);
    return this.#call('get', Cmd.MAP_LOOKUP_ELEM, value) ? value : undefined;
  }

  has(): boolean {
    return this.lookup() !== undefined;
  }

  update(flags: number): void {
    const { rc } = bpf(Cmd.MAP_UPDATE_ELEM, MAP_ELEM, {
      fd: this.map.fd,
      key: this.key,
      value: this.value,
      flags,
    });
    if (rc < 0) throw this.#error('set', rc);
  }

  delete(): boolean {
    return this.#call('delete', Cmd.MAP_DELETE_ELEM);
  }

  take(): Uint8Array | undefined {
    const value = new Uint8Array(this.value.length);
    return this.#call('take', Cmd.MAP_LOOKUP_AND_DELETE_ELEM, value) ? value : undefined;
  }

  *keys(): IterableIterator<Uint8Array> {
    for (const [key] of this.#entries()) yield key;
  }

  /**
   * A snapshot, as of the arena's hash maps: without it a key that is deleted under the walk would send the kernel back
   * to its first.
   */
  *#entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    const all = lookupBatch(this.map);
    if (typeof all !== 'number') yield* all;
    else if (errnoName(-all) === NO_BATCH) yield* this.#walk();
    else throw this.#error('iterate', all);
  }

  /** Key after key, where the kernel has no batches of this type. */
  #walk(): [Uint8Array, Uint8Array][] {
    const all: [Uint8Array, Uint8Array][] = [];
    let at: Uint8Array | undefined;
    while (all.length <= this.spec.maxEntries) {
      const next = new Uint8Array(this.spec.keySize);
      const { rc } = bpf(Cmd.MAP_GET_NEXT_KEY, MAP_ELEM, { fd: this.map.fd, key: at, value: next });
      if (rc < 0) {
        if (errnoName(-rc) === 'ENOENT') break;
        throw this.#error('iterate', rc);
      }
      this.key.set(next);
      const value = this.lookup();
      if (value) all.push([next, value]);
      at = next;
    }
    return all;
  }

  #updateAll(keys: Uint8Array, values: Uint8Array): { done: number; error?: Error } {
    const { done, rc } = updateBatch(this.map, keys, values);
    if (rc >= 0) return { done };
    if (errnoName(-rc) !== NO_BATCH) return { done, error: this.#error('set', rc) };
    const n = keys.length / this.key.length;
    for (let i = 0; i < n; i++) {
      this.#point(keys, i);
      this.value.set(values.subarray(i * this.value.length, (i + 1) * this.value.length));
      try {
        this.update(UpdateFlag.ANY);
      } catch (error) {
        return { done: i, error: error as Error };
      }
    }
    return { done: n };
  }

  #deleteAll(keys: Uint8Array): number {
    const n = keys.length / this.key.length;
    let gone = 0;
    for (let at = 0; at < n; at++) {
      const { done, rc } = deleteBatch(this.map, keys.subarray(at * this.key.length));
      gone += done;
      at += done;
      if (rc >= 0) break;
      // It stopped at a key that is not there: the next call begins after it.
      const why = errnoName(-rc);
      if (why === 'ENOENT') continue;
      if (why !== NO_BATCH) throw this.#error('delete', rc);
      this.#point(keys, at);
      if (this.delete()) gone++;
    }
    return gone;
  }

  /** The i-th of `keys` is the key of the next call. */
  #point(keys: Uint8Array, i: number): void {
    this.key.set(keys.subarray(i * this.key.length, (i + 1) * this.key.length));
  }

  zero(): void {
    this.value.fill(0);
    for (const key of this.keys()) {
      this.key.set(key);
      this.update(0);
    }
  }

  freeze(): void {
    this.map.freeze();
  }

  close(): void {
    this.map.close();
  }

  /** False when there is no such key. */
  #call(doing: string, cmd: number, value?: Uint8Array): boolean {
    const { rc } = bpf(cmd, MAP_ELEM, { fd: this.map.fd, key: this.key, value });
    if (rc >= 0) return true;
    if (errnoName(-rc) === 'ENOENT') return false;
    throw this.#error(doing, rc);
  }

  #error(doing: string, rc: number): EtherloomError {
    const name = errnoName(-rc);
    const message = `map "${this.spec.name}" (${this.spec.type}) of the kernel: ${doing}: ${name}`;
    return Object.hasOwn(Errno, name)
      ? new MapError(name as ErrnoName, message)
      : new EtherloomError(`ERR_KERNEL_${name}`, message);
  }
}

const CLASSES: Partial<Record<MapTypeName, new (spec: MapSpec, place: StorePlace) => KeyedMap>> = {
  array: ArrayMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
  percpu_array: PerCpuArrayMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
  hash: HashMap,
  lru_hash: HashMap,
  percpu_hash: PerCpuHashMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
  lru_percpu_hash: PerCpuHashMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
  lpm_trie: LpmTrieMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
};

/** Of those whose entries mean something else here than in the engine. */
const TARGETS: typeof CLASSES = {
  devmap: KernelDevMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
  devmap_hash: KernelDevMap as new (spec: MapSpec, place: StorePlace) => KeyedMap,
};

/** Whether the elements are plain keys and values, the same in the engine and here: what a configuration may fill. */
export const isTyped = (type: MapTypeName): boolean => type in CLASSES;

/**
 * The map with typed keys and values, as the class that its type has in the arena. Both see the same elements; destroy()
 * closes the kernel's map. Entries of devmaps are the kernel's interfaces.
 * @throws MapError EOPNOTSUPP for types whose entries are programs, maps, sockets or records
 */
export function typedMap<M extends KeyedMap = KeyedMap>(map: KernelMap): M {
  const build = CLASSES[map.spec.type] ?? TARGETS[map.spec.type];
  if (!build)
    throw new MapError('EOPNOTSUPP', `map "${map.spec.name}" (${map.spec.type}) of the kernel by type`, {
      expected: Object.keys({ ...CLASSES, ...TARGETS }).join(', '),
    });
  return new build(map.spec, { store: new KernelStore(map, map.spec) }) as M;
}
