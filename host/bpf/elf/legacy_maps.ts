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
  tie(found);
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

/** inner_id of an outer map names the id of its inner ones; inner_idx says where each sits. */
function tie(maps: readonly LegacyMap[]): void {
  const byId = new Map<number, LegacyMap[]>();
  for (const map of maps) {
    const same = byId.get(map.id);
    if (same) same.push(map);
    else byId.set(map.id, [map]);
  }
  for (const outer of maps) {
    if (outer.innerId === 0 || !/_of_maps$/.test(outer.spec.type)) continue;
    const inner = (byId.get(outer.innerId) ?? []).filter(m => m !== outer);
    if (inner.length === 0) continue;
    outer.spec.inner = inner[0].spec;
    const values = inner
      .filter(m => m.innerIndex !== NO_INDEX)
      .map(m => ({ key: m.innerIndex, name: m.spec.name }));
    if (values.length) outer.spec.values = values;
  }
}
