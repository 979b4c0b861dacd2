/**
 * All maps of an object, numbered: what the linker asks when an instruction names a symbol.
 * The number is the key of ProgramSpec.maps; a map has the same one in every program of the file.
 */
import type { MapSpec } from '../spec.js';
import { type BtfMaps, type NameOfCode, readBtfMaps } from './btf_maps.js';
import { type Kconfig, type KconfigMap, readDataMaps, readKconfig } from './data_maps.js';
import { type LegacyMaps, readLegacyMaps } from './legacy_maps.js';
import type { BpfObject } from './object.js';
import { type ElfSection, SHN_UNDEF, Stb } from './reader.js';
import { readStructOps } from './struct_ops.js';

export interface NumberedMap {
  /** From 1, in order of definition: `.maps`, `maps`, data sections, `.struct_ops`, `.kconfig`. */
  key: number;
  spec: MapSpec;
}

export class MapTable {
  readonly all: readonly MapSpec[];
  readonly legacy: LegacyMaps;
  private readonly btfMaps: BtfMaps;
  private readonly dataMaps: ReadonlyMap<number, MapSpec>;
  private readonly kconfig: KconfigMap | undefined;
  private readonly keys = new Map<MapSpec, number>();
  private readonly kfuncs = new Map<string, number>();
  private readonly variables = new Map<string, number>();

  /** @throws EtherloomError ERR_ELF_MAP, ERR_ELF_EXTERN, ERR_BTF_TYPE */
  constructor(object: BpfObject, nameOfCode: NameOfCode, kconfig: Kconfig) {
    this.btfMaps = readBtfMaps(object, nameOfCode);
    this.legacy = readLegacyMaps(object);
    this.dataMaps = readDataMaps(object);
    this.kconfig = readKconfig(object, kconfig);
    const all = [...this.btfMaps.at.entries()].sort((a, b) => a[0] - b[0]).map(([, spec]) => spec);
    all.push(...this.legacy.specs, ...this.dataMaps.values(), ...readStructOps(object, nameOfCode));
    if (this.kconfig) all.push(this.kconfig.spec);
    for (const [i, spec] of all.entries()) this.keys.set(spec, i + 1);
    this.all = all;
    this.readKsyms(object);
  }

  /** The map defined at an offset of a map section. */
  definedAt(section: ElfSection, value: number, addend: number): NumberedMap | undefined {
    const places = section === this.btfMaps.section ? this.btfMaps.at : this.legacy.at.get(section);
    return this.numbered(places?.get(value + addend));
  }

  /** The array behind a data section. */
  data(section: ElfSection): NumberedMap | undefined {
    return this.numbered(this.dataMaps.get(section.index));
  }

  /** A variable that the loader itself provides (`__kconfig`). */
  extern(name: string): (NumberedMap & { offset: number }) | undefined {
    const offset = this.kconfig?.offsets.get(name);
    const map = offset === undefined ? undefined : this.numbered(this.kconfig?.spec);
    return map && offset !== undefined ? { ...map, offset } : undefined;
  }

  /** BTF id of a kernel function, 0 when BTF does not list it; undefined when it is no kfunc at all. */
  kfunc(name: string): number | undefined {
    return this.kfuncs.get(name);
  }

  /** BTF id of a variable of the kernel (`extern … __ksym`). */
  kernelVariable(name: string): number | undefined {
    return this.variables.get(name);
  }

  private numbered(spec: MapSpec | undefined): NumberedMap | undefined {
    return spec && { key: this.keys.get(spec)!, spec };
  }

  /** Symbols of the kernel stand in DATASEC .ksyms; a weak function may be one that BTF leaves out. */
  private readKsyms(object: BpfObject): void {
    for (const symbol of object.elf.symbols)
      if (symbol.section === SHN_UNDEF && symbol.bind === Stb.WEAK && symbol.name)
        this.kfuncs.set(symbol.name, 0);
    for (const type of object.btf?.types ?? [])
      if (type.kind === 'datasec' && type.name === '.ksyms')
        for (const entry of type.vars) {
          const symbol = object.btf?.types[entry.type];
          if (symbol?.kind === 'func') this.kfuncs.set(symbol.name, entry.type);
          if (symbol?.kind === 'var') this.variables.set(symbol.name, entry.type);
        }
  }
}
