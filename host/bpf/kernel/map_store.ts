/**
 * Elements of a map in the real kernel, through bpf(2): below the same classes as the arena's maps, so that
 * `--engine kernel` maps are read and written by the same typed calls.
 *
 *   typedMap(kernelMap) ─▶ HashMap, PerCpuArrayMap, LpmTrieMap … ─▶ KernelStore ─▶ bpf(2)
 */
import { EtherloomError } from '../../errors.js';
import { ArrayMap } from '../maps/array.js';
import { Errno, type ErrnoName, MapError } from '../maps/errors.js';
import { HashMap } from '../maps/hash.js';
import type { KeyedMap } from '../maps/keyed.js';
import { LpmTrieMap } from '../maps/lpm.js';
import { PerCpuArrayMap, PerCpuHashMap } from '../maps/percpu.js';
import type { StorePlace } from '../maps/store.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { bpf, Cmd, errnoName, MAP_ELEM } from './attr.js';
import { type KernelMap, possibleCpus } from './map.js';

type Store = StorePlace['store'];

class KernelStore implements Store {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly copies: number;

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

  /**
   * A snapshot, as of the arena's hash maps: without it a key that is deleted under the walk would send the kernel back
   * to its first.
   */
  *keys(): IterableIterator<Uint8Array> {
    const keys: Uint8Array[] = [];
    let at: Uint8Array | undefined;
    while (keys.length <= this.spec.maxEntries) {
      const next = new Uint8Array(this.spec.keySize);
      const { rc } = bpf(Cmd.MAP_GET_NEXT_KEY, MAP_ELEM, { fd: this.map.fd, key: at, value: next });
      if (rc < 0) {
        if (errnoName(-rc) === 'ENOENT') break;
        throw this.#error('iterate', rc);
      }
      keys.push(next);
      at = next;
    }
    yield* keys;
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

/** Whether typedMap takes maps of this type: those whose elements are plain keys and values. */
export const isTyped = (type: MapTypeName): boolean => type in CLASSES;

/**
 * The map with typed keys and values, as the class that its type has in the arena. Both see the same elements; destroy()
 * closes the kernel's map.
 * @throws MapError EOPNOTSUPP for types whose entries are programs, maps, ports or records
 */
export function typedMap<M extends KeyedMap = KeyedMap>(map: KernelMap): M {
  const build = CLASSES[map.spec.type];
  if (!build)
    throw new MapError('EOPNOTSUPP', `map "${map.spec.name}" (${map.spec.type}) of the kernel by type`, {
      expected: Object.keys(CLASSES).join(', '),
    });
  return new build(map.spec, { store: new KernelStore(map, map.spec) }) as M;
}
