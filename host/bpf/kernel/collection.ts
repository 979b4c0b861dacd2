/** All programs of one object in the real kernel: maps shared by spec, program arrays and maps of maps filled. */
import { EtherloomError } from '../../errors.js';
import type { KeyedMap } from '../maps/keyed.js';
import type { CollectionSpec, MapSpec } from '../spec.js';
import { addon } from './attr.js';
import { loadBtf } from './btf.js';
import { objectTypes } from './info.js';
import { holdsObjects, KernelMap } from './map.js';
import { typedMap } from './map_store.js';
import { type KernelLoad, type KernelLoadOptions, KernelProgram, type LoadedTypes, u32 } from './program.js';

/** Maps that hold objects and the programs that make them must have the very same types. */
function loadTypes({ btf, maps, programs }: CollectionSpec): LoadedTypes | undefined {
  if (!btf || !Object.values(maps).some(holdsObjects)) return undefined;
  const encoded = objectTypes(btf, Object.values(programs));
  return { fd: loadBtf(encoded), encoded };
}

export class KernelCollection {
  private constructor(
    readonly spec: CollectionSpec,
    /** By name in the object. */
    readonly maps: Readonly<Record<string, KernelMap>>,
    /** Verdict by program name; the accepted ones are open. */
    readonly loads: Readonly<Record<string, KernelLoad>>,
  ) {}

  /**
   * Loads every program, or those named. Rejections are in `loads`.
   * @throws EtherloomError ERR_KERNEL_<ERRNO> when a map is refused; nothing stays open then
   */
  static load(
    spec: CollectionSpec,
    options: Omit<KernelLoadOptions, 'maps'> & { programs?: readonly string[] } = {},
  ): KernelCollection {
    const maps: Record<string, KernelMap> = {};
    const loads: Record<string, KernelLoad> = {};
    const collection = new KernelCollection(spec, maps, loads);
    let types: LoadedTypes | undefined;
    try {
      types = loadTypes(spec);
      for (const [name, map] of Object.entries(spec.maps)) maps[name] = KernelMap.create(map, types?.fd);
      const bySpec = new Map<MapSpec, KernelMap>(Object.values(maps).map(map => [map.spec, map]));
      for (const [name, program] of Object.entries(spec.programs)) {
        if (options.programs && !options.programs.includes(name)) continue;
        loads[name] = KernelProgram.load(program, { ...options, maps: bySpec, ...(types ? { types } : {}) });
      }
      for (const map of Object.values(maps)) collection.fill(map);
      return collection;
    } catch (error) {
      collection.close();
      throw error;
    } finally {
      if (types) addon().close(types.fd);
    }
  }

  /** @throws EtherloomError ERR_KERNEL_REJECTED with the verifier's decisive line */
  program(name: string): KernelProgram {
    const load = this.loads[name];
    if (load?.accepted) return load.program;
    const why = load ? load.reason : `there is no program ${name}`;
    throw new EtherloomError('ERR_KERNEL_REJECTED', `${name}: ${why}`, { file: this.spec.file });
  }

  /**
   * A map with typed keys and values, as the class that it has in the arena. It is closed with the collection.
   * @throws EtherloomError ERR_COLLECTION_MAP for a name that is none; MapError EOPNOTSUPP for types without plain entries
   */
  map<M extends KeyedMap = KeyedMap>(name: string): M {
    if (!Object.hasOwn(this.maps, name))
      throw new EtherloomError('ERR_COLLECTION_MAP', `no map "${name}"`, {
        file: this.spec.file,
        expected: `one of ${Object.keys(this.maps).join(', ')}`,
      });
    return typedMap<M>(this.maps[name]);
  }

  close(): void {
    for (const load of Object.values(this.loads)) if (load.accepted) load.program.close();
    for (const map of Object.values(this.maps)) map.close();
  }

  /** Initial slots. A program that was rejected, or not asked for, leaves its slot empty: a tail call falls through. */
  private fill(map: KernelMap): void {
    const { type, values } = map.spec;
    for (const { key, name } of values ?? []) {
      const load = this.loads[name];
      const fd = type === 'prog_array' ? (load?.accepted ? load.program.fd : undefined) : this.maps[name]?.fd;
      if (fd !== undefined) map.update(u32(key), u32(fd));
    }
  }
}
