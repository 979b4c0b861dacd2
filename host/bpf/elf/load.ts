/**
 * The object loader: bytes of a clang BPF object → CollectionSpec. Nothing is created or run here.
 * Called by the collection, the CLI and tests. All or nothing: it returns every program and map, or throws.
 */
import { setOwn } from '../bytes.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from '../spec.js';
import { defaultKconfig, type Kconfig, placeVariables } from './data_maps.js';
import { type ElfFunction, Functions, INSN_BYTES } from './functions.js';
import { type LinkBudget, link, linkBudget } from './link.js';
import { MapTable } from './map_table.js';
import { BpfObject } from './object.js';
import { sectionRole, tailSection } from './sections.js';
import { nameMembers } from './struct_ops.js';

export interface LoadOptions {
  /** Values of `extern … __kconfig` variables, beside LINUX_KERNEL_VERSION. */
  kconfig?: Kconfig;
}

/**
 * @param file name used in errors
 * @throws EtherloomError ERR_ELF_* and ERR_BTF_* with file, offset and what was expected
 */
export function loadElf(bytes: Uint8Array, file: string, options: LoadOptions = {}): CollectionSpec {
  const object = BpfObject.read(bytes, file);
  placeVariables(object);
  const functions = new Functions(object);
  const table = new MapTable(
    object,
    (symbol, offset) => functions.startingAt(symbol.section, offset / INSN_BYTES)?.name,
    { ...defaultKconfig, ...options.kconfig },
  );
  const license = object.text('license') ?? '';
  const maps: Record<string, MapSpec> = {};
  for (const spec of table.all) {
    if (Object.hasOwn(maps, spec.name))
      throw object.fail('ERR_ELF_MAP', `two maps are called ${spec.name}`, 0, 'names that differ');
    setOwn(maps, spec.name, spec);
  }
  const programs: Record<string, ProgramSpec> = {};
  const budget = linkBudget();
  for (const entry of functions.sections.flatMap(s => s.functions)) {
    if (!entry.entry) continue;
    if (Object.hasOwn(programs, entry.name))
      throw object.fail(
        'ERR_ELF_FUNCTION',
        `two programs are called ${entry.name}`,
        entry.section.offset,
        'names that differ',
      );
    setOwn(programs, entry.name, makeProgram(object, functions, table, entry, license, budget));
    tieTailCall(table, entry);
  }
  nameMembers(object, table.all, programs);
  return { file, license, programs, maps, ...(object.btf ? { btf: object.btf } : {}) };
}

function makeProgram(
  object: BpfObject,
  functions: Functions,
  table: MapTable,
  entry: ElfFunction,
  license: string,
  budget: LinkBudget,
): ProgramSpec {
  const { type, flags, name: section } = sectionRole(entry.section.name);
  const linked = link(object, functions, table, entry, budget);
  const program: ProgramSpec = {
    name: entry.name,
    type,
    section,
    license,
    insns: linked.insns,
    maps: linked.maps,
    funcs: linked.funcs,
  };
  if (Object.keys(flags).length) program.flags = flags;
  if (linked.lines.length) program.lines = linked.lines;
  if (object.btf) program.btf = object.btf;
  if (Object.keys(linked.kfuncs).length) program.kfuncs = linked.kfuncs;
  return program;
}

/** iproute2: a program in section `ID/KEY` is the entry KEY of the prog_array with that id. */
function tieTailCall(table: MapTable, entry: ElfFunction): void {
  const place = tailSection(entry.section.name);
  const map = place && table.legacy.byId.get(place.id);
  if (!place || map?.type !== 'prog_array') return;
  const values = (map.values ??= []);
  values.push({ key: place.key, name: entry.name });
}
