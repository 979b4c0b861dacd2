/**
 * Global variables: `.rodata* .data* .bss*`, custom data sections and `.kconfig`, each as an array of one entry.
 */
import type { BtfType } from '../btf/btf.js';
import { resolve, sizeOf } from '../btf/types.js';
import type { MapSpec } from '../spec.js';
import type { BpfObject } from './object.js';
import { type ElfSection, type ElfSymbol, SHN_UNDEF, Shf, Sht, Stb, Stt } from './reader.js';
import { dataKind, isMetadata } from './sections.js';

/** BPF_F_RDONLY_PROG. */
const RDONLY_PROG = 128;
/** All data sections of one file together; the arena's map region is not larger. */
const MAX_DATA_BYTES = 64 << 20;

/** Values of `extern … __kconfig` variables. */
export type Kconfig = Readonly<Record<string, number | bigint | boolean | string>>;

/** What programs learn without any kernel: the version whose rules the verifier follows, the tick of jiffies64. */
export const defaultKconfig: Kconfig = {
  LINUX_KERNEL_VERSION: (6 << 16) | (18 << 8),
  CONFIG_HZ: 250,
  LINUX_HAS_BPF_COOKIE: false,
  LINUX_HAS_SYSCALL_WRAPPER: false,
};

/** By section index. */
export function readDataMaps(object: BpfObject): Map<number, MapSpec> {
  const maps = new Map<number, MapSpec>();
  let total = 0;
  for (const section of object.elf.sections) {
    if (!holdsData(object, section)) continue;
    total += section.size;
    if (total > MAX_DATA_BYTES)
      throw object.fail(
        'ERR_ELF_SECTION',
        `section ${section.name} of ${section.size} bytes`,
        section.offset,
        `at most ${MAX_DATA_BYTES} bytes of variables in all`,
      );
    const frozen = dataKind(section.name) === 'rodata' || (section.flags & Shf.WRITE) === 0;
    const contents = new Uint8Array(section.size);
    contents.set(section.data.bytes);
    const spec: MapSpec = {
      name: section.name,
      type: 'array',
      keySize: 4,
      valueSize: section.size,
      maxEntries: 1,
      flags: frozen ? RDONLY_PROG : 0,
      contents,
    };
    if (frozen) spec.frozen = true;
    const valueId = object.datasecId(section.name);
    if (object.btf && valueId) spec.btf = { types: object.btf, keyId: 0, valueId };
    maps.set(section.index, spec);
  }
  return maps;
}

function holdsData(object: BpfObject, section: ElfSection): boolean {
  if (section.size === 0 || (section.type !== Sht.PROGBITS && section.type !== Sht.NOBITS)) return false;
  if (section.flags & Shf.EXECINSTR || !(section.flags & Shf.ALLOC)) return false;
  if (dataKind(section.name)) return true;
  // Custom section: only when a variable lies in it.
  return !isMetadata(section.name) && object.symbolsIn(section).some(s => s.type === Stt.OBJECT);
}

/**
 * Compilers leave places in a DATASEC empty (size 0, offset 0); the symbols have them.
 * Gives each DATASEC the size of its section and each variable its offset.
 */
export function placeVariables(object: BpfObject): void {
  // Once a section: hostile BTF may name it in thousands of DATASECs.
  const placesIn = new Map<ElfSection, Map<string, number>>();
  for (const type of object.btf?.types ?? []) {
    if (type.kind !== 'datasec') continue;
    const section = object.section(type.name);
    if (!section) continue;
    if (type.size === 0) type.size = section.size;
    let offsets = placesIn.get(section);
    if (!offsets) {
      offsets = new Map(object.symbolsIn(section).map(s => [s.name, s.value]));
      placesIn.set(section, offsets);
    }
    for (const entry of type.vars) {
      const variable = object.btf?.types[entry.type];
      const offset = variable?.kind === 'var' ? offsets.get(variable.name) : undefined;
      if (offset !== undefined) entry.offset = offset;
    }
    type.vars.sort((a, b) => a.offset - b.offset);
  }
}

export interface KconfigMap {
  spec: MapSpec;
  /** Offset of each variable. */
  offsets: Map<string, number>;
}

/**
 * The map behind `extern int CONFIG_X __kconfig`. There is no kernel configuration here: weak ones are 0 as with
 * libbpf, strong ones must be given.
 * @throws EtherloomError ERR_ELF_EXTERN
 */
export function readKconfig(object: BpfObject, given: Kconfig): KconfigMap | undefined {
  const { btf } = object;
  const id = object.datasecId('.kconfig');
  const datasec = btf?.types[id];
  if (!btf || datasec?.kind !== 'datasec') return undefined;
  const externs = new Map<string, ElfSymbol>(
    object.elf.symbols.filter(s => s.section === SHN_UNDEF).map(s => [s.name, s]),
  );
  const offsets = new Map<string, number>();
  const writes: { at: number; size: number; typeId: number; symbol: ElfSymbol }[] = [];
  let end = 0;
  for (const entry of datasec.vars) {
    const variable = btf.types[entry.type];
    const symbol = variable?.kind === 'var' ? externs.get(variable.name) : undefined;
    if (variable?.kind !== 'var' || !symbol) continue;
    const size = sizeOf(btf, variable.type);
    end = Math.ceil(end / 8) * 8;
    entry.offset = end;
    offsets.set(variable.name, end);
    writes.push({ at: end, size, typeId: variable.type, symbol });
    end += size;
    if (end > MAX_DATA_BYTES)
      throw object.fail('ERR_ELF_EXTERN', `.kconfig of ${end} bytes`, 0, `at most ${MAX_DATA_BYTES} bytes`);
  }
  if (end === 0) return undefined;
  datasec.size = end;
  const contents = new Uint8Array(end);
  for (const { at, size, typeId, symbol } of writes) {
    const value = given[symbol.name];
    if (value === undefined && symbol.bind !== Stb.WEAK)
      throw object.fail(
        'ERR_ELF_EXTERN',
        `kernel configuration ${symbol.name} is not known: there is no kernel below this engine`,
        0,
        'a value in the kconfig option, or a __weak extern',
      );
    if (value !== undefined) writeKconfig(contents.subarray(at, at + size), resolve(btf, typeId), value);
  }
  const spec: MapSpec = {
    name: '.kconfig',
    type: 'array',
    keySize: 4,
    valueSize: end,
    maxEntries: 1,
    flags: RDONLY_PROG,
    contents,
    frozen: true,
    btf: { types: btf, keyId: 0, valueId: id },
  };
  return { spec, offsets };
}

/** Tristates: 'n' 0, 'y' 1, 'm' 2 (enum libbpf_tristate). */
function writeKconfig(at: Uint8Array, type: BtfType, value: number | bigint | boolean | string): void {
  if (typeof value === 'string' && type.kind === 'array') {
    at.set(Buffer.from(value, 'utf8').subarray(0, Math.max(0, at.length - 1)));
    return;
  }
  const tristate: Record<string, bigint> = { n: 0n, y: 1n, m: 2n };
  let rest = BigInt.asUintN(
    64,
    typeof value === 'string' ? (tristate[value] ?? BigInt(value)) : BigInt(value),
  );
  for (let i = 0; i < at.length && i < 8; i++, rest >>= 8n) at[i] = Number(rest & 0xffn);
}
