/**
 * A collection at work: the maps of an object made in the arena, its programs verified, compiled and placed in
 * function tables, prog arrays and maps of maps filled as the object says. All or nothing: when one step fails,
 * what was made before is given back.
 */
import { EtherloomError } from '../errors.js';
import { Arena, type ArenaOptions } from '../mem/arena.js';
import { type Core, instantiateCore } from '../mem/core.js';
import { compileProgram } from './jit/compile.js';
import type { CompiledProgram } from './jit/compiled.js';
import { instantiateProgram } from './jit/instantiate.js';
import { BpfMap, createMap, type HashMap, mapBinding, StructOpsMap } from './maps/index.js';
import { timersCalling } from './maps/map.js';
import { refusesReuse, shapeOf } from './maps/reuse.js';
import { isRunnable } from './program_types.js';
import { busy, type Placed, Residence, requireLoaded, settle } from './residence.js';
import { removeProgram, SlotAllocator, tableEnd } from './slots.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from './spec.js';
import { requireCompiled } from './stages.js';
import { verifyOnce } from './verify/verify.js';

/** Who takes compiled programs in: an engine (all its lanes), or HostPrograms (the host's own instance). */
export interface ProgramHost<P extends Placed = Placed> {
  readonly arena: Arena;
  /** The host's instance of the core. */
  readonly core: Core;
  load(compiled: CompiledProgram): P | Promise<P>;
  /** All or none, where that is less work than one after another. */
  loadAll?(compiled: readonly CompiledProgram[]): Promise<P[]>;
  /** Who points to the program, in words; maps in `except` do not count. */
  holders(program: P, except?: ReadonlySet<object>): string[];
  /** @throws EtherloomError ERR_PROGRAM_BUSY while somebody points to it */
  unload(program: P): void | Promise<void>;
  /** All or none, where that is less work than one after another. @throws as unload */
  unloadAll?(programs: readonly P[]): Promise<void>;
  /** A program ran on the calling thread, outside of lanes: timers that it started are the host's to fire. */
  ran?(): void;
}

/** Programs in the host's own table only: test runs, benchmarks, tools. */
export class HostPrograms implements ProgramHost {
  readonly #slots: SlotAllocator;
  readonly #counts = new Map<Placed, number>();

  constructor(
    readonly arena: Arena,
    readonly core: Core,
  ) {
    this.#slots = new SlotAllocator(Math.max(arena.header.tableBase, tableEnd(core)));
  }

  /** With an arena of its own: for test runs and tools, without an engine. @throws EtherloomError ERR_ARENA_* */
  static create(options: ArenaOptions = {}): HostPrograms {
    const arena = Arena.create({ frames: 1, ...options });
    return new HostPrograms(arena, instantiateCore(arena, arena.header.laneCount));
  }

  /** @throws EtherloomError ERR_STAGE_FORGED, ERR_JIT_LINK, ERR_TABLE_FULL */
  load(compiled: CompiledProgram): Placed {
    requireCompiled(compiled);
    const { slotCount, spec } = compiled;
    const run = this.#slots.alloc(slotCount);
    try {
      instantiateProgram(compiled, this.core, this.arena, run);
    } catch (cause) {
      this.#slots.free(run, slotCount);
      throw cause;
    }
    const residence = new Residence(spec, this.arena, run, run + 1);
    const placed = settle({ run, tail: run + 1 }, residence);
    this.#counts.set(placed, slotCount);
    return placed;
  }

  holders(program: Placed, except?: ReadonlySet<object>): string[] {
    const count = this.#counts.get(program) ?? 0;
    return [
      ...requireLoaded(program).holders(except),
      ...timersCalling(this.arena, program.run, count, except),
    ];
  }

  unload(program: Placed): void {
    const residence = requireLoaded(program);
    const count = this.#counts.get(program);
    if (count === undefined) return;
    const holders = this.holders(program);
    if (holders.length) throw busy(residence.name, holders);
    this.#counts.delete(program);
    residence.loaded = false;
    removeProgram(this.core, program.run, count);
    this.#slots.free(program.run, count);
  }
}

export type { Placed } from './residence.js';

/** One program of a collection. */
export interface CollectedProgram<P extends Placed = Placed> {
  readonly name: string;
  readonly spec: ProgramSpec;
  readonly compiled: CompiledProgram;
  readonly placed: P;
}

export interface CollectionOptions {
  /** Names of the programs to load, with those that their prog arrays name. Default: every program of a type that can be verified. */
  programs?: readonly string[];
  /** Use these maps instead of making new ones: by name. They stay the caller's. */
  maps?: Readonly<Record<string, BpfMap>>;
  /** Makes the code of a program, instead of verifyOnce and compileProgram: for who has it still. */
  compile?: (program: ProgramSpec, maps: Readonly<Record<string, BpfMap>>) => CompiledProgram;
  /** Leaves entries that maps given have as they are: `fillEntries` sets them to what the object says. */
  keepEntries?: boolean;
}

export class Collection<P extends Placed = Placed> {
  /** Who took the programs in. */
  readonly host: ProgramHost<P>;
  readonly #held: Held<P>;

  private constructor(
    readonly spec: CollectionSpec,
    readonly maps: Readonly<Record<string, BpfMap>>,
    readonly programs: Readonly<Record<string, CollectedProgram<P>>>,
    host: ProgramHost<P>,
    held: Held<P>,
  ) {
    this.host = host;
    this.#held = held;
  }

  /**
   * @throws VerifierError for the first program that is refused
   * @throws EtherloomError ERR_COLLECTION_MAP_SHAPE for a given map that is not as the object's; ERR_COLLECTION_* for names that the object does not hold; map and arena errors
   */
  static async load<P extends Placed>(
    spec: CollectionSpec,
    host: ProgramHost<P>,
    options: CollectionOptions = {},
  ): Promise<Collection<P>> {
    const wanted = wantedPrograms(spec, options.programs);
    const maps = new Map<MapSpec, BpfMap>();
    const held: Held<P> = { maps: [], own: [], placed: [], filled: [] };
    try {
      for (const map of mapsOf(spec, wanted)) {
        const given = givenMap(host.arena, map, options.maps);
        const made = given ?? createMap(host.arena, host.core, map);
        if (!given) held.own.push(made);
        made.hold(1);
        held.maps.push(made);
        maps.set(map, made);
      }
      // All are verified and compiled before the first is placed: most refusals touch no lane.
      const ready = wanted.map(program => {
        const bound = Object.fromEntries(Object.entries(program.maps).map(([key, m]) => [key, maps.get(m)!]));
        const compile = options.compile ?? compiled;
        return { program, compiled: compile(program, bound) };
      });
      const programs: Record<string, CollectedProgram<P>> = {};
      if (host.loadAll) held.placed.push(...(await host.loadAll(ready.map(r => r.compiled))));
      else for (const { compiled } of ready) held.placed.push(await host.load(compiled));
      for (const [i, { program, compiled }] of ready.entries())
        programs[program.name] = { name: program.name, spec: program, compiled, placed: held.placed[i] };
      fillInitialValues(spec, maps, programs, held.filled, options.keepEntries);
      const byName = Object.fromEntries([...maps].map(([m, made]) => [m.name, made]));
      return new Collection(spec, byName, programs, host, held);
    } catch (error) {
      for (const f of held.filled.reverse())
        f.old === undefined ? f.map.delete(f.key) : f.map.set(f.key, f.old);
      await release(host, held);
      throw error;
    }
  }

  /** A map by name, as the class that its type has. @throws EtherloomError ERR_COLLECTION_MAP */
  map<M extends BpfMap = BpfMap>(name: string): M {
    if (!Object.hasOwn(this.maps, name))
      throw new EtherloomError(
        'ERR_COLLECTION_MAP',
        Object.hasOwn(this.spec.maps, name)
          ? `map "${name}" is used by no program loaded`
          : `no map "${name}"`,
        {
          file: this.spec.file,
          expected: `one of ${Object.keys(this.maps).join(', ')}`,
        },
      );
    return this.maps[name] as M;
  }

  /** A program by name; without a name the only one or the first. @throws EtherloomError ERR_COLLECTION_PROGRAM */
  program(name = Object.keys(this.programs)[0]): CollectedProgram<P> {
    if (name === undefined || !Object.hasOwn(this.programs, name))
      throw new EtherloomError('ERR_COLLECTION_PROGRAM', `no program "${name}" was loaded`, {
        file: this.spec.file,
        expected: `one of ${Object.keys(this.programs).join(', ')}`,
      });
    return this.programs[name];
  }

  /**
   * Takes the programs out of the lanes and gives the maps back; maps that were given stay. Nothing is done while a
   * program is attached, or is an entry of a map of others.
   * @throws EtherloomError ERR_PROGRAM_BUSY naming the port or map; MapError EBUSY for a map that others hold
   */
  async close(): Promise<void> {
    const own = new Set<object>(this.#held.own);
    for (const { name, placed } of Object.values(this.programs)) {
      const holders = this.#held.placed.includes(placed) ? this.host.holders(placed, own) : [];
      if (holders.length) throw busy(name, holders);
    }
    await release(this.host, this.#held);
  }

  /** Sets the entries of maps to what the object says, where that was left out (`keepEntries`). */
  fillEntries(): void {
    const maps = new Map(Object.values(this.maps).map(map => [this.spec.maps[map.name], map]));
    fillInitialValues(this.spec, maps, this.programs, []);
  }

  /** Maps that it made are the caller's from now on, as those that were given. Returns them. */
  disown(): BpfMap[] {
    return this.#held.own.splice(0);
  }

  /** Takes maps on as its own: they end with it. */
  adopt(maps: readonly BpfMap[]): void {
    this.#held.own.push(...maps);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What a collection gives back when it is closed. */
interface Held<P> {
  /** All that its programs use. */
  maps: BpfMap[];
  /** Those that it made. */
  own: BpfMap[];
  placed: P[];
  /** Entries that the object filled, and what was there: set back if the load fails. */
  filled: { map: HashMap; key: number; old: unknown }[];
}

/** Programs before maps: their code has the addresses of the maps in it. What was given back is taken from `held`. */
async function release<P extends Placed>(host: ProgramHost<P>, held: Held<P>): Promise<void> {
  for (const map of held.own) {
    map.releasePrograms();
    map.releaseTimers();
  }
  if (host.unloadAll) {
    await host.unloadAll(held.placed);
    held.placed = [];
  }
  for (let p = held.placed.at(-1); p; p = held.placed.at(-1)) {
    await host.unload(p);
    held.placed.pop();
  }
  for (const map of held.maps.splice(0)) map.hold(-1);
  const holds = (m: BpfMap): number => (m.type === 'array_of_maps' || m.type === 'hash_of_maps' ? 0 : 1);
  // Maps of maps go first: they hold the others.
  held.own.sort((a, b) => holds(a) - holds(b));
  for (let map = held.own[0]; map; map = held.own[0]) {
    map.destroy();
    held.own.shift();
  }
}

/** The caller's map for one of the object, if it can stand for it. */
function givenMap(arena: Arena, spec: MapSpec, given: CollectionOptions['maps']): BpfMap | undefined {
  if (!given || !Object.hasOwn(given, spec.name)) return undefined;
  const map = given[spec.name];
  const why =
    !(map instanceof BpfMap) || map.arena !== arena ? 'it is no map of this arena' : refusesReuse(map, spec);
  if (why)
    throw new EtherloomError('ERR_COLLECTION_MAP_SHAPE', `the map given for "${spec.name}": ${why}`, {
      expected: shapeOf(spec),
    });
  return map;
}

function wantedPrograms(spec: CollectionSpec, names?: readonly string[]): ProgramSpec[] {
  const all = Object.values(spec.programs);
  if (!names) return all.filter(p => isRunnable(p.type));
  const chosen = new Set<string>();
  const visit = (name: string): void => {
    if (chosen.has(name)) return;
    if (!Object.hasOwn(spec.programs, name))
      throw new EtherloomError('ERR_COLLECTION_PROGRAM', `no program "${name}"`, {
        file: spec.file,
        expected: `one of ${all.map(p => p.name).join(', ')}`,
      });
    chosen.add(name);
    for (const map of Object.values(spec.programs[name].maps))
      if (map.type === 'prog_array') for (const v of map.values ?? []) visit(v.name);
  };
  names.forEach(visit);
  return all.filter(p => chosen.has(p.name));
}

/** Maps that the programs use and those that they hold; every map of the object when it has no program. */
function mapsOf(spec: CollectionSpec, programs: readonly ProgramSpec[]): MapSpec[] {
  const found = new Set<MapSpec>();
  const visit = (map: MapSpec): void => {
    if (found.has(map)) return;
    found.add(map);
    if (map.type === 'array_of_maps' || map.type === 'hash_of_maps')
      for (const v of map.values ?? []) if (Object.hasOwn(spec.maps, v.name)) visit(spec.maps[v.name]);
  };
  for (const program of programs) Object.values(program.maps).forEach(visit);
  // No program refers to the structure that it is a member of.
  for (const map of Object.values(spec.maps))
    if (map.type === 'struct_ops' && map.values?.every(v => programs.some(p => p.name === v.name)))
      visit(map);
  return [...found];
}

const compiled = (program: ProgramSpec, maps: Readonly<Record<string, BpfMap>>): CompiledProgram =>
  compileProgram(verifyOnce(program), mapBinding(maps));

/** @param keep entries that are there already stay */
function fillInitialValues<P extends Placed>(
  spec: CollectionSpec,
  maps: ReadonlyMap<MapSpec, BpfMap>,
  programs: Readonly<Record<string, CollectedProgram<P>>>,
  filled: Held<P>['filled'],
  keep = false,
): void {
  for (const [map, made] of maps)
    for (const { key, name } of map.values ?? []) {
      if (made instanceof StructOpsMap) {
        made.put(key, programs[name].placed);
        continue;
      }
      const target = made as HashMap;
      if (map.type === 'prog_array') {
        const program = programs[name];
        if (!program) continue;
        const old = target.get(key);
        if (keep && old !== undefined) continue;
        target.set(key, program.placed);
        filled.push({ map: target, key, old });
        continue;
      }
      const inner = Object.hasOwn(spec.maps, name) ? maps.get(spec.maps[name]) : undefined;
      if (!inner)
        throw new EtherloomError('ERR_COLLECTION_MAP', `map "${map.name}" wants "${name}" at ${key}`, {
          file: spec.file,
          expected: 'a map of the same object',
        });
      const old = target.get(key);
      if (keep && old !== undefined) continue;
      target.set(key, inner);
      filled.push({ map: target, key, old });
    }
}
