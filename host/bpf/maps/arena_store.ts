/** Elements in the arena: the same AssemblyScript that programs call, from the host's instance of the core. */
import { type FieldLayout, valueLayout } from '../objects/layout.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { isHashTable, isPerCpu } from './check.js';
import { check, Errno } from './errors.js';
import type { MapPlace } from './map.js';
import { ELEM_KEY, roundUp } from './storage.js';
import type { MapStore } from './store.js';
import { loadBytes } from './words.js';

const ENOENT = BigInt(-Errno.ENOENT);
/** Tries to read a value that stays in its place meanwhile. */
const READ_TRIES = 16;
/** Times that a bucket is read again because it changed under the reader. */
const CHAIN_TRIES = 8;
/** sizeof(struct bpf_timer). */
const TIMER_BYTES = 16;
/** Where an entry is {target, table slot of a program}, whatever value size was declared. */
const ENTRY_TYPES: ReadonlySet<MapTypeName> = new Set(['devmap', 'devmap_hash', 'cpumap', 'xskmap']);
const ENTRY_ARRAYS: ReadonlySet<MapTypeName> = new Set([
  'prog_array',
  'array_of_maps',
  'devmap',
  'cpumap',
  'xskmap',
]);

class ArenaStore implements MapStore {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** What reads as zeroes. */
  readonly #holds: readonly FieldLayout[];

  constructor(
    protected readonly spec: MapSpec,
    protected readonly place: MapPlace,
    valueBytes: number,
  ) {
    const { keyBuf, valueBuf } = place.storage;
    this.key = place.arena.u8.subarray(keyBuf, keyBuf + spec.keySize);
    this.value = place.arena.u8.subarray(valueBuf, valueBuf + valueBytes);
    this.#holds = valueLayout(spec)?.fields ?? [];
  }

  get copies(): number {
    return 1;
  }

  get size(): number {
    return Atomics.load(this.place.arena.u32, (this.place.storage.addr + 64) >>> 2);
  }

  /** Copied again when the element was recycled under the copy. */
  lookup(): Uint8Array | undefined {
    let at = this.address();
    for (let i = 0; at && i < READ_TRIES; i++) {
      const bytes = this.copyOut(at);
      // Orders the copy's plain loads before the second look, where the machine would not (arm64). The word is ours.
      Atomics.add(this.place.arena.u32, this.place.storage.keyBuf >>> 2, 0);
      const again = this.address();
      if (again === at) return bytes;
      at = again;
    }
    return at ? this.copyOut(at) : undefined;
  }

  has(): boolean {
    return this.address() !== 0;
  }

  update(flags: number): void {
    const { addr, keyBuf, valueBuf } = this.place.storage;
    const x = this.place.core.exports;
    check(x.map_update_elem(addr, keyBuf, valueBuf, BigInt(flags)), () => this.label('set'));
  }

  delete(): boolean {
    const { addr, keyBuf } = this.place.storage;
    const result = this.place.core.exports.map_delete_elem(addr, keyBuf);
    if (result === ENOENT) return false;
    check(result, () => this.label('delete'));
    return true;
  }

  take(): Uint8Array | undefined {
    const { addr, keyBuf, valueBuf } = this.place.storage;
    const result = this.place.core.exports.map_lookup_and_delete_elem(addr, keyBuf, valueBuf);
    if (result === ENOENT) return undefined;
    check(result, () => this.label('take'));
    const bytes = this.value.slice();
    for (const f of this.#holds) bytes.fill(0, f.off, f.off + f.bytes);
    return bytes;
  }

  /** A snapshot of the moment of the first step. */
  *keys(): IterableIterator<Uint8Array> {
    const { addr, keyBuf, nextBuf } = this.place.storage;
    const { u8 } = this.place.arena;
    const keys: Uint8Array[] = [];
    for (let first = true; ; first = false) {
      const result = this.place.core.exports.map_get_next_key(addr, first ? 0 : keyBuf, nextBuf);
      if (result === ENOENT || keys.length > this.spec.maxEntries) break;
      check(result, () => this.label('iterate'));
      u8.copyWithin(keyBuf, nextBuf, nextBuf + this.spec.keySize);
      keys.push(u8.slice(nextBuf, nextBuf + this.spec.keySize));
    }
    yield* keys;
  }

  zero(): void {
    const { dataAt, dataBytes, valueTimer, recordAt } = this.place.storage.header;
    if (valueTimer || recordAt) {
      // Each by itself, around its timer and what it holds of objects, which that frees.
      this.value.fill(0);
      for (const key of this.keys()) {
        this.key.set(key);
        this.update(0);
      }
      return;
    }
    this.place.arena.u8.fill(0, dataAt, dataAt + dataBytes);
  }

  /** Where the value under the key lies, 0 without. */
  protected address(): number {
    const { addr, keyBuf } = this.place.storage;
    return this.place.core.exports.map_lookup_sys(addr, keyBuf) >>> 0;
  }

  /** Under its bpf_spin_lock if it has one; that word and a bpf_timer read as 0. */
  protected copyOut(at: number): Uint8Array {
    const { valueTimer } = this.place.storage.header;
    const bytes = this.#copy(at);
    for (const f of this.#holds) bytes.fill(0, f.off, f.off + f.bytes);
    return valueTimer ? bytes.fill(0, valueTimer - 1, valueTimer - 1 + TIMER_BYTES) : bytes;
  }

  #copy(at: number): Uint8Array {
    const { arena, core, storage } = this.place;
    const lock = storage.header.valueLock;
    if (ENTRY_TYPES.has(this.spec.type)) return arena.u8.slice(at, at + 8);
    if (!lock) return loadBytes(arena, at, this.spec.valueSize);
    core.exports.spin_lock(at + lock - 1);
    const bytes = arena.u8.slice(at, at + this.spec.valueSize);
    core.exports.spin_unlock(at + lock - 1);
    return bytes.fill(0, lock - 1, lock + 3);
  }

  protected label(doing: string): string {
    return `map "${this.spec.name}" (${this.spec.type}): ${doing}`;
  }
}

/** Arrays whose entries name something, or are empty. Nobody counts them: a walk. */
class EntriesStore extends ArenaStore {
  override get size(): number {
    let n = 0;
    for (const key of this.keys()) {
      this.key.set(key);
      if (this.has()) n++;
    }
    return n;
  }
}

/** On assembly/bpf/maps/hash_table.ts. */
class HashStore extends ArenaStore {
  override *keys(): IterableIterator<Uint8Array> {
    const { u8 } = this.place.arena;
    for (const e of this.#elements()) yield u8.slice(e + ELEM_KEY, e + ELEM_KEY + this.spec.keySize);
  }

  /**
   * Elements, bucket by bucket and without a lock. A bucket is read again when it changed under the reader
   * (the chain ended at another bucket's marker).
   */
  *#elements(): IterableIterator<number> {
    const { header } = this.place.storage;
    const { aux0: buckets, aux1: mask } = header;
    const words = this.place.arena.u32;
    const limit = this.spec.maxEntries + header.lanes;
    for (let b = 0; b <= mask; b++) {
      let chain: number[] = [];
      for (let tries = 0; tries < CHAIN_TRIES; tries++) {
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
}

/** Every lane's copy side by side, each rounded up to 8 bytes, as the kernel's calls pass them. */
function gather(spec: MapSpec, { arena, storage }: MapPlace, laneZero: number): Uint8Array {
  const { lanes, laneStride } = storage.header;
  const stride = roundUp(spec.valueSize, 8);
  const all = new Uint8Array(stride * lanes);
  for (let l = 0; l < lanes; l++) {
    const at = laneZero + l * laneStride;
    all.set(arena.u8.subarray(at, at + spec.valueSize), l * stride);
  }
  return all;
}

function updateAll({ core, storage }: MapPlace, flags: number, label: () => string): void {
  const { addr, keyBuf, valueBuf } = storage;
  check(core.exports.map_update_all(addr, keyBuf, valueBuf, BigInt(flags)), label);
}

class PerLaneArrayStore extends ArenaStore {
  override get copies(): number {
    return this.place.storage.header.lanes;
  }
  override update(flags: number): void {
    updateAll(this.place, flags, () => this.label('set'));
  }
  protected override copyOut(at: number): Uint8Array {
    return gather(this.spec, this.place, at);
  }
}

class PerLaneHashStore extends HashStore {
  override get copies(): number {
    return this.place.storage.header.lanes;
  }
  override update(flags: number): void {
    updateAll(this.place, flags, () => this.label('set'));
  }
  protected override copyOut(at: number): Uint8Array {
    return gather(this.spec, this.place, at);
  }
}

/** The store of a map in the arena. `valueBytes`: what one encoded value takes. */
export function arenaStore(spec: MapSpec, place: MapPlace, valueBytes: number): MapStore {
  return new (storeClass(spec.type))(spec, place, valueBytes);
}

function storeClass(type: MapTypeName): typeof ArenaStore {
  if (isHashTable(type)) return isPerCpu(type) ? PerLaneHashStore : HashStore;
  if (isPerCpu(type)) return PerLaneArrayStore;
  return ENTRY_ARRAYS.has(type) ? EntriesStore : ArenaStore;
}
