/**
 * A collection at work: the maps of an object made in the arena, its programs verified, compiled and placed in
 * function tables, prog arrays and maps of maps filled as the object says. All or nothing: when one step fails,
 * what was made before is given back.
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { compileProgram } from './jit/compile.js';
import type { CompiledProgram } from './jit/compiled.js';
import { instantiateProgram } from './jit/instantiate.js';
import { BpfMap, createMap, type HashMap, mapBinding } from './maps/index.js';
import { refusesReuse, shapeOf } from './maps/reuse.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from './spec.js';
import { verify } from './verify/verify.js';

/** Where a program was placed: table slots that mean the same in every lane. */
export interface Placed {
  /** Slot for hooks and test runs. */
  readonly run: number;
  /** Slot for PROG_ARRAY values. */
  readonly tail: number;
}

/** Who takes compiled programs in: an engine (all its lanes), or HostPrograms (the host's own instance). */
export interface ProgramHost<P extends Placed = Placed> {
  readonly arena: Arena;
  /** The host's instance of the core. */
  readonly core: Core;
  load(compiled: CompiledProgram): P | Promise<P>;
}

/** Programs in the host's own table only: test runs, benchmarks, tools. */
export class HostPrograms implements ProgramHost {
  #next: number;

  constructor(
    readonly arena: Arena,
    readonly core: Core,
  ) {
    this.#next = Math.max(arena.header.tableBase, core.table.length);
  }

  load(compiled: CompiledProgram): Placed {
    const slots = this.#next;
    instantiateProgram(compiled, this.core, this.arena, slots);
    this.#next += compiled.slotCount;
    return { run: slots, tail: slots + 1 };
  }
}

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
}

export class Collection<P extends Placed = Placed> {
  readonly #own: BpfMap[];

  private constructor(
    readonly spec: CollectionSpec,
    readonly maps: Readonly<Record<string, BpfMap>>,
    readonly programs: Readonly<Record<string, CollectedProgram<P>>>,
    own: BpfMap[],
  ) {
    this.#own = own;
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
    const own: BpfMap[] = [];
    try {
      for (const map of mapsOf(spec, wanted)) {
        const given = givenMap(host.arena, map, options.maps);
        const made = given ?? createMap(host.arena, host.core, map);
        if (!given) own.push(made);
        maps.set(map, made);
      }
      const programs: Record<string, CollectedProgram<P>> = {};
      for (const program of wanted) {
        const verified = verify(program);
        const bound = Object.fromEntries(Object.entries(program.maps).map(([key, m]) => [key, maps.get(m)!]));
        const compiled = compileProgram(verified, mapBinding(bound));
        programs[program.name] = {
          name: program.name,
          spec: program,
          compiled,
          placed: await host.load(compiled),
        };
      }
      fillInitialValues(spec, maps, programs);
      const byName = Object.fromEntries([...maps].map(([m, made]) => [m.name, made]));
      return new Collection(spec, byName, programs, own);
    } catch (error) {
      destroyAll(own);
      throw error;
    }
  }

  /** A map by name, as the class that its type has. @throws EtherloomError ERR_COLLECTION_MAP */
  map<M extends BpfMap = BpfMap>(name: string): M {
    if (!Object.hasOwn(this.maps, name))
      throw new EtherloomError('ERR_COLLECTION_MAP', `no map "${name}"`, {
        file: this.spec.file,
        expected: `one of ${Object.keys(this.maps).join(', ')}`,
      });
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

  /** Gives the maps back. The programs must have been detached. */
  close(): void {
    destroyAll(this.#own);
    this.#own.length = 0;
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

/** Maps of maps go first: they hold the others. */
function destroyAll(maps: readonly BpfMap[]): void {
  const holds = (m: BpfMap): number => (m.type === 'array_of_maps' || m.type === 'hash_of_maps' ? 0 : 1);
  for (const map of [...maps].sort((a, b) => holds(a) - holds(b))) map.destroy();
}

function wantedPrograms(spec: CollectionSpec, names?: readonly string[]): ProgramSpec[] {
  const all = Object.values(spec.programs);
  if (!names) return all.filter(p => p.type !== 'unspec');
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
  return [...found];
}

function fillInitialValues<P extends Placed>(
  spec: CollectionSpec,
  maps: ReadonlyMap<MapSpec, BpfMap>,
  programs: Readonly<Record<string, CollectedProgram<P>>>,
): void {
  for (const [map, made] of maps)
    for (const { key, name } of map.values ?? []) {
      const target = made as HashMap;
      if (map.type === 'prog_array') {
        const program = programs[name];
        if (program) target.set(key, { tailSlot: program.placed.tail });
        continue;
      }
      const inner = Object.hasOwn(spec.maps, name) ? maps.get(spec.maps[name]) : undefined;
      if (!inner)
        throw new EtherloomError('ERR_COLLECTION_MAP', `map "${map.name}" wants "${name}" at ${key}`, {
          file: spec.file,
          expected: 'a map of the same object',
        });
      target.set(key, inner);
    }
}
