/** Maps whose entries point to programs, or may: prog_array, devmap, devmap_hash, cpumap. Keys are one word. */
import type { Residence } from '../residence.js';
import { KeyedMap } from './keyed.js';
import type { MapPrograms } from './programs.js';

export abstract class ProgramEntriesMap<V> extends KeyedMap<number, V> {
  declare readonly programs: MapPrograms;

  /** set(), and notes which program the entry points to from then on. It was admitted before. */
  protected setEntry(
    key: number | Uint8Array,
    value: V | Uint8Array,
    flags: number | undefined,
    program: Residence | undefined,
  ): this {
    super.set(key, value, flags);
    this.programs.put(this.keyWord, program);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const was = super.delete(key);
    this.programs.put(this.keyWord, undefined);
    return was;
  }
}
