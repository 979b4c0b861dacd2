/**
 * An object made ready for one live transport: sized and set as its module wants it, its code verified and compiled once.
 * Code has the addresses of maps in it, so it serves again where the same maps are given.
 */
import { configureGlobals, type MapConfig } from '../../bpf/config.js';
import { compileProgram } from '../../bpf/jit/compile.js';
import type { CompiledProgram } from '../../bpf/jit/compiled.js';
import { type BpfMap, mapBinding } from '../../bpf/maps/index.js';
import { isRunnable } from '../../bpf/program_types.js';
import type { CollectionSpec, ProgramSpec } from '../../bpf/spec.js';
import { verifyOnce } from '../../bpf/verify/verify.js';
import { EtherloomError } from '../../errors.js';
import { asProgram, migrates } from './migration.js';
import type { OpenedSource } from './source.js';

export interface ObjectSettings {
  /** max_entries of maps, by name. */
  sizes: Readonly<Record<string, number>>;
  /** Global variables, by section. */
  globals: MapConfig;
}

interface Made {
  compiled: CompiledProgram;
  /** Maps that its code has the addresses of. */
  at: string;
}

export class PreparedObject {
  /** By map: who rewrites its values. */
  readonly migrations: Map<string, ProgramSpec>;
  /** Maps of constants that its code was compiled for. */
  readonly constants: Set<BpfMap>;
  readonly #code: Map<string, Made>;

  /** @param same what it shares all but its label with */
  private constructor(
    readonly key: string,
    readonly label: string,
    readonly spec: CollectionSpec,
    same?: PreparedObject,
  ) {
    this.migrations = same?.migrations ?? new Map();
    this.constants = same?.constants ?? new Set();
    this.#code = same ? same.#code : new Map();
  }

  /** The same for who calls it otherwise: a file may be a copy of one that was used before. */
  named(label: string): PreparedObject {
    return label === this.label ? this : new PreparedObject(this.key, label, this.spec, this);
  }

  /**
   * @param whose the transport that it is to be another object of
   * @throws EtherloomError ERR_UPGRADE_OBJECT; ERR_UPGRADE_SETTING for a setting that the object has no place for; ERR_ELF_*, ERR_BTF_*
   */
  static of(
    source: OpenedSource,
    { sizes, globals }: ObjectSettings,
    whose?: { name: string; counters: string },
  ): PreparedObject {
    const spec = source.open();
    if (whose !== undefined && !Object.hasOwn(spec.maps, whose.counters))
      throw new EtherloomError('ERR_UPGRADE_OBJECT', `this is no object of transport ${whose.name}`, {
        ...{ file: source.label, expected: `one with a map ${whose.counters}` },
      });
    for (const [name, entries] of Object.entries(sizes))
      if (Object.hasOwn(spec.maps, name)) spec.maps[name].maxEntries = entries;
    try {
      configureGlobals(spec, globals);
    } catch (cause) {
      throw new EtherloomError('ERR_UPGRADE_SETTING', (cause as Error).message, {
        ...{ file: source.label, cause },
        expected: 'the global variables that the transport is set by',
      });
    }
    const prepared = new PreparedObject(source.key, source.label, spec);
    for (const [name, program] of Object.entries(spec.programs)) {
      const map = migrates(program);
      if (map === undefined) continue;
      if (!Object.hasOwn(spec.maps, map) || prepared.migrations.has(map))
        throw new EtherloomError('ERR_UPGRADE_MIGRATION', `${name} is to migrate "${map}"`, {
          ...{ file: source.label, expected: 'a map of the object, and one program for it' },
        });
      prepared.migrations.set(map, asProgram(program));
      delete spec.programs[name];
    }
    return prepared;
  }

  /** Walks all of its programs, which costs once. @throws VerifierError */
  verify(): void {
    for (const program of [...Object.values(this.spec.programs), ...this.migrations.values()])
      if (!this.#code.has(program.name) && isRunnable(program.type)) verifyOnce(program);
  }

  /** For CollectionOptions.compile. @throws VerifierError, EtherloomError ERR_JIT_* */
  readonly compile = (program: ProgramSpec, maps: Readonly<Record<string, BpfMap>>): CompiledProgram => {
    const at = Object.entries(maps)
      .map(([key, map]) => `${key}:${map.id}`)
      .join(' ');
    const known = this.#code.get(program.name);
    if (known?.at === at) return known.compiled;
    const compiled = compileProgram(verifyOnce(program), mapBinding(maps));
    this.#code.set(program.name, { compiled, at });
    for (const map of Object.values(maps)) if (map.spec.frozen) this.constants.add(map);
    return compiled;
  };
}
