/** What every map has on the host side, whatever its type. */
import type { MapHeaderView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import type { BoundMap, HashTableShape, MapBinding } from '../jit/compiled.js';
import type { AttachType, MapSpec, MapTypeName } from '../spec.js';
import { type ErrnoName, MapError } from './errors.js';
import { MapFlag } from './flags.js';
import { MapPrograms } from './programs.js';
import type { Storage } from './storage.js';
import type { StorePlace } from './store.js';
import { tableShape } from './table_shape.js';
import { rebuildWheels, retireTimers } from './timers.js';

/** Where a map lives and how the host reaches it. */
export interface MapPlace {
  arena: Arena;
  core: Core;
  storage: Storage;
}

/** Maps of an arena by address: what a map of maps holds are addresses. */
const registries = new WeakMap<Arena, { byAddr: Map<number, BpfMap>; nextId: number }>();

function registryOf(arena: Arena): { byAddr: Map<number, BpfMap>; nextId: number } {
  let r = registries.get(arena);
  if (!r) registries.set(arena, (r = { byAddr: new Map(), nextId: 1 }));
  return r;
}

export const takeId = (arena: Arena): number => registryOf(arena).nextId++;
export const mapAt = (arena: Arena, addr: number): BpfMap | undefined => registryOf(arena).byAddr.get(addr);

/** Every map of an arena. */
export const mapsIn = (arena: Arena): Iterable<BpfMap> => registryOf(arena).byAddr.values();

/**
 * What is mended whichever map the lane had in hand: a reader waits for records in order, and one that was reserved and
 * not committed stops it; packets are put into buckets by the loop, after the program.
 */
const ALWAYS_MENDED: ReadonlySet<MapTypeName> = new Set(['ringbuf', 'perf_event_array', 'pkt_queue']);

/** Frees the objects that no map refers to: those of programs that died, while no lane runs. Returns how many there were. */
export function reclaimObjects(arena: Arena): number {
  if (!arena.header.objectsAt) return 0;
  const maps = [...registryOf(arena).byAddr.values()];
  const exports = maps[0]?.core.exports;
  exports?.objects_unmark();
  for (const map of maps) exports?.map_mark_objects(map.addr);
  return exports?.objects_sweep() ?? 0;
}

/** After the death of a lane that was changing the map at `inHand` (0: none), while no lane runs. */
export function reclaimMaps(arena: Arena, inHand: number): number {
  let n = reclaimObjects(arena);
  for (const map of registryOf(arena).byAddr.values())
    if (map.addr === inHand || ALWAYS_MENDED.has(map.type)) n += map.reclaim();
  return n;
}

/** Maps of an arena whose values have timers. */
function* timerMaps(arena: Arena): IterableIterator<BpfMap> {
  for (const map of registryOf(arena).byAddr.values()) if (map.hasTimers) yield map;
}

/** Maps of an arena with timers that call one of `count` table slots from `slot` on; those in `except` left out. */
export function timersCalling(
  arena: Arena,
  slot: number,
  count: number,
  except: ReadonlySet<object> = new Set(),
): string[] {
  return [...timerMaps(arena)]
    .filter(map => !except.has(map) && map.timersCalling(slot, count) > 0)
    .map(map => `timers of map "${map.name}" (${map.type})`);
}

/** Cancels and frees every timer of an arena that calls one of those slots. Returns how many there were. */
export function cancelTimersCalling(arena: Arena, slot: number, count: number): number {
  let n = 0;
  for (const map of timerMaps(arena)) n += map.cancelTimersCalling(slot, count);
  return n;
}

/** Every timer of an arena that calls slot `from` calls `to` from now on. Returns how many there were. */
export function recallTimers(arena: Arena, from: number, to: number): number {
  let n = 0;
  for (const map of timerMaps(arena)) n += map.recallTimers(from, to);
  return n;
}

/**
 * Makes every wheel of an arena anew from the timers of its maps, while no lane runs: after the death of a lane (`arm`),
 * or when there are no lanes any more, and nothing fires. Those of lane `except`, which is given up, are disarmed: whoever
 * starts one has it then.
 */
export function restoreTimers(arena: Arena, arm: boolean, except?: number): void {
  const maps = [...timerMaps(arena)];
  const core = maps[0]?.core;
  rebuildWheels(
    arena,
    core,
    maps.map(map => map.addr),
    arm,
    except,
  );
}

/** Types whose elements lie at dataAt + index * stride. */
const ARRAYS: ReadonlySet<MapTypeName> = new Set(['array', 'percpu_array', 'prog_array']);

/** Types with programs in their entries, and what those programs must be made to attach at. */
const ENTRIES: ReadonlyMap<MapTypeName, AttachType> = new Map<MapTypeName, AttachType>([
  ['prog_array', undefined],
  ['devmap', 'devmap'],
  ['devmap_hash', 'devmap'],
  ['cpumap', 'cpumap'],
  ['struct_ops', undefined],
]);

export abstract class BpfMap implements BoundMap {
  readonly spec: MapSpec;
  /** The programs that its entries point to, for types that have such entries. */
  readonly programs: MapPrograms | undefined;
  readonly #place: MapPlace | StorePlace;
  #frozen = false;
  #holders = 0;
  #destroyed = false;
  #table: HashTableShape | undefined;

  constructor(spec: MapSpec, place: MapPlace | StorePlace) {
    this.spec = spec;
    this.#place = place;
    const here = !('store' in place);
    this.programs =
      here && ENTRIES.has(spec.type) ? new MapPrograms(this, ENTRIES.get(spec.type)) : undefined;
    if (here) registryOf(place.arena).byAddr.set(place.storage.addr, this);
  }

  /** @throws MapError EOPNOTSUPP for a map that lies in no arena */
  get #here(): MapPlace {
    const place = this.#place;
    if ('store' in place) throw this.error('EOPNOTSUPP', 'it lies in the kernel', 'a map of the arena');
    return place;
  }
  get arena(): Arena {
    return this.#here.arena;
  }
  /** Address of the MapHeader: the map pointer of programs. */
  get addr(): number {
    return this.#here.storage.addr;
  }
  get core(): Core {
    return this.#here.core;
  }
  protected get storage(): Storage {
    return this.#here.storage;
  }
  protected get header(): MapHeaderView {
    return this.#here.storage.header;
  }

  get name(): string {
    return this.spec.name;
  }
  get type(): MapTypeName {
    return this.spec.type;
  }
  /** Number of the map in this arena, from 1. */
  get id(): number {
    return this.header.id;
  }
  get keySize(): number {
    return this.spec.keySize;
  }
  get valueSize(): number {
    return this.spec.valueSize;
  }
  get maxEntries(): number {
    return this.spec.maxEntries;
  }
  /** Bytes of arena that the map takes. */
  get bytes(): number {
    return this.storage.bytes;
  }
  get frozen(): boolean {
    return this.#frozen;
  }

  /** Of array types, so that the JIT can bake them into code (BoundMap). */
  get dataAt(): number | undefined {
    return ARRAYS.has(this.spec.type) ? this.header.dataAt : undefined;
  }
  get stride(): number | undefined {
    return ARRAYS.has(this.spec.type) ? this.header.stride : undefined;
  }
  get laneStride(): number | undefined {
    return ARRAYS.has(this.spec.type) ? this.header.laneStride : undefined;
  }

  /** Of hash types, so that the JIT can write lookups into code (BoundMap). */
  get table(): HashTableShape | undefined {
    return (this.#table ??= tableShape(this.spec.type, this.arena, this.header));
  }

  /** BPF_MAP_FREEZE: from now on the host may not write (programs are held by the verifier). */
  freeze(): void {
    if ('store' in this.#place) this.#place.store.freeze();
    this.#frozen = true;
  }

  /**
   * @internal Empties the entries that point to programs. It is how the engine lets programs go: BPF_F_RDONLY and
   * BPF_MAP_FREEZE bind those who write by set() and delete(), not the end of a map.
   */
  releasePrograms(): void {
    for (const key of this.programs?.keys() ?? []) {
      this.arena.u32[this.storage.keyBuf >>> 2] = key;
      this.core.exports.map_delete_elem(this.addr, this.storage.keyBuf);
      this.programs!.put(key, undefined);
    }
  }

  /** Whether its values have a bpf_timer. */
  get hasTimers(): boolean {
    return !('store' in this.#place) && this.header.valueTimer !== 0;
  }

  /**
   * Cancels and frees every timer in it, as if each element had been written over: programs must initialise them anew.
   * Callbacks that run are waited for. Returns how many there were.
   */
  cancelTimers(): number {
    this.#assertAlive();
    return this.hasTimers ? this.core.exports.timers_clear(this.addr) : 0;
  }

  /** @internal User space lets the map go: its timers end, and programs that still use it can make no new ones. */
  releaseTimers(): void {
    if (this.hasTimers) this.core.exports.timers_close(this.addr);
  }

  /** @internal Timers in it that call one of `count` table slots from `slot` on. */
  timersCalling(slot: number, count: number): number {
    return this.core.exports.timers_calling(this.addr, slot, count);
  }

  /** @internal Cancels and frees those. */
  cancelTimersCalling(slot: number, count: number): number {
    return this.core.exports.timers_uncall(this.addr, slot, count);
  }

  /** @internal Timers in it that call table slot `from` call `to` from now on. Returns how many there were. */
  recallTimers(from: number, to: number): number {
    return this.core.exports.timers_recall(this.addr, from, to);
  }

  /** @internal Puts to use again what a dead lane had in hand. While no lane runs. Returns elements and records. */
  reclaim(): number {
    return this.core.exports.map_reclaim(this.addr) >>> 0;
  }

  /** Gives the memory back. No program may use the map any more. @throws MapError EBUSY while a map of maps or a loaded collection holds it. */
  destroy(): void {
    if (this.#destroyed) return;
    if (this.#holders > 0)
      throw new MapError(
        'EBUSY',
        `map "${this.name}" is held by ${this.#holders} maps of maps or collections`,
      );
    this.onDestroy();
    this.releasePrograms();
    this.#destroyed = true;
    if ('store' in this.#place) {
      this.#place.store.close();
      return;
    }
    registryOf(this.arena).byAddr.delete(this.addr);
    this.core.exports.map_free_objects(this.addr);
    this.releaseTimers();
    if (this.hasTimers) retireTimers(this.arena, this.core, this.addr);
    else this.arena.maps.free(this.addr);
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Counts entries of maps of maps, and collections, that point here. */
  hold(by: 1 | -1): void {
    this.#holders += by;
  }

  protected onDestroy(): void {}

  protected error(errno: ErrnoName, message: string, expected?: string): MapError {
    return new MapError(errno, `map "${this.name}" (${this.type}): ${message}`, { expected });
  }

  protected assertReadable(): void {
    this.#assertAlive();
    if (this.spec.flags & MapFlag.WRONLY) throw this.error('EPERM', 'write-only for the host');
  }

  protected assertWritable(): void {
    this.#assertAlive();
    if (this.#frozen) throw this.error('EPERM', 'frozen');
    if (this.spec.flags & MapFlag.RDONLY) throw this.error('EPERM', 'read-only for the host');
  }

  #assertAlive(): void {
    if (this.#destroyed) throw this.error('EINVAL', 'destroyed');
  }
}

/** What the compiler needs of maps: any record of maps by the keys of ProgramSpec.maps. */
export function mapBinding(maps: Readonly<Record<number, BpfMap>>): MapBinding {
  return Object.fromEntries(
    Object.entries(maps).map(([key, { spec, addr, dataAt, stride, laneStride, table, programs }]) => [
      key,
      { spec, addr, dataAt, stride, laneStride, table, programs },
    ]),
  );
}
