/**
 * Maps of a legacy `maps` section: one struct a symbol, `struct bpf_map_def` of libbpf before 1.0 (20 bytes, more
 * in some samples) or iproute2's `struct bpf_elf_map` (36 bytes, with ids that tie inner maps and tail calls).
 */
import { mapTypeName } from '../map_types.js';
import type { MapSpec } from '../spec.js';
import type { BpfObject } from './object.js';
import type { ElfSection } from './reader.js';

const DEF_BYTES = 20;
const ELF_MAP_BYTES = 36;
/** inner_idx of a bpf_elf_map that no outer map holds. */
const NO_INDEX = 0xffff_ffff;
/** Entries of all maps of maps together: each of n outer maps may hold the same n inner ones. */
const MAX_VALUES = 65_536;

/** What iproute2's longer form adds; used to tie maps together once all are read. */
interface LegacyMap {
  spec: MapSpec;
  id: number;
  innerId: number;
  innerIndex: number;
}

export interface LegacyMaps {
  /** By section index and offset in it. */
  at: Map<ElfSection, Map<number, MapSpec>>;
  specs: MapSpec[];
  /** prog_arrays by the id that `ID/KEY` sections name. */
  byId: Map<number, MapSpec>;
}

export const isLegacySection = (name: string): boolean => name === 'maps' || name.startsWith('maps/');

/** @throws EtherloomError ERR_ELF_MAP */
export function readLegacyMaps(object: BpfObject): LegacyMaps {
  const found: LegacyMap[] = [];
  const at: LegacyMaps['at'] = new Map();
  for (const section of object.elf.sections) {
    if (!isLegacySection(section.name) || section.size === 0) continue;
    const symbols = object.symbolsIn(section).sort((a, b) => a.value - b.value || a.index - b.index);
    const places = new Map<number, MapSpec>();
    at.set(section, places);
    const starts = [...new Set(symbols.map(s => s.value))];
    const next = new Map(starts.map((value, i) => [value, starts[i + 1] ?? section.data.length]));
    for (const symbol of symbols) {
      if (places.has(symbol.value)) continue;
      const end = next.get(symbol.value)!;
      const bytes = symbol.size || end - symbol.value;
      if (bytes < DEF_BYTES || symbol.value + bytes > section.data.length)
        throw object.fail(
          'ERR_ELF_MAP',
          `map ${symbol.name} has a definition of ${bytes} bytes`,
          { data: section.data, at: symbol.value },
          `at least ${DEF_BYTES} bytes inside section ${section.name}`,
        );
      const map = readDefinition(object, section, symbol.name, symbol.value, bytes);
      found.push(map);
      places.set(symbol.value, map.spec);
    }
  }
  tie(object, found);
  return {
    at,
    specs: found.map(m => m.spec),
    byId: new Map(found.filter(m => m.id !== 0).map(m => [m.id, m.spec])),
  };
}

function readDefinition(
  object: BpfObject,
  section: ElfSection,
  name: string,
  at: number,
  bytes: number,
): LegacyMap {
  const word = (i: number): number => section.data.u32(at + i * 4, `definition of map ${name}`);
  const type = mapTypeName(word(0));
  if (!type)
    throw object.fail(
      'ERR_ELF_MAP',
      `map ${name} has type ${word(0)}`,
      { data: section.data, at },
      'a BPF_MAP_TYPE_*',
    );
  const spec: MapSpec = {
    name,
    type,
    keySize: word(1),
    valueSize: word(2),
    maxEntries: word(3),
    flags: word(4),
  };
  // Other extensions (gobpf's, aya's, the kernel samples') agree on the first five words only.
  const long = bytes === ELF_MAP_BYTES;
  // PIN_NONE 0, PIN_OBJECT_NS 1, PIN_GLOBAL_NS 2.
  if (long && word(6) !== 0) spec.pinning = 'by_name';
  return {
    spec,
    id: long ? word(5) : 0,
    innerId: long ? word(7) : 0,
    innerIndex: long ? word(8) : NO_INDEX,
  };
}

/** Inner maps of one id, as their outer maps hold them. */
interface Inner {
  template: MapSpec;
  values: { key: number; name: string }[];
}

/** inner_id of an outer map names the id of its inner ones; inner_idx says where each sits. */
function tie(object: BpfObject, maps: readonly LegacyMap[]): void {
  const byId = new Map<number, Inner>();
  for (const { id, innerIndex, spec } of maps) {
    if (id === 0 || isOuter(spec)) continue;
    const inner = byId.get(id) ?? { template: spec, values: [] };
    byId.set(id, inner);
    if (innerIndex !== NO_INDEX) inner.values.push({ key: innerIndex, name: spec.name });
  }
  let total = 0;
  for (const outer of maps) {
    const inner = outer.innerId === 0 || !isOuter(outer.spec) ? undefined : byId.get(outer.innerId);
    if (!inner) continue;
    outer.spec.inner = inner.template;
    total += inner.values.length;
    if (total > MAX_VALUES)
      throw object.fail(
        'ERR_ELF_MAP',
        `map ${outer.spec.name} and those before it hold ${total} inner maps`,
        0,
        `at most ${MAX_VALUES} in all`,
      );
    if (inner.values.length) outer.spec.values = [...inner.values];
  }
}

const isOuter = (spec: MapSpec): boolean => /_of_maps$/.test(spec.type);
