/**
 * ELF64 little-endian EM_BPF: sections, symbols, relocations (System V gABI; psABI of LLVM's BPF back end).
 * Called by load.ts. Promises that every offset, index and name that it hands out was checked against the file.
 */
import { ByteReader } from '../bytes.js';

export const Sht = { NULL: 0, PROGBITS: 1, SYMTAB: 2, STRTAB: 3, RELA: 4, NOBITS: 8, REL: 9 } as const;
export const Shf = { WRITE: 1, ALLOC: 2, EXECINSTR: 4, COMPRESSED: 0x800 } as const;
export const Stb = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;
export const Stt = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4 } as const;
/** Section index of a symbol that this file does not define. */
export const SHN_UNDEF = 0;
const SHN_LORESERVE = 0xff00;
const STV_HIDDEN = 2;

/** R_BPF_* numbers of LLVM ≥ 13; older clang used 10 for both 64_32 and NODYLD32. */
export const Reloc = { NONE: 0, R64_64: 1, ABS64: 2, ABS32: 3, NODYLD32: 4, R64_32: 10 } as const;

const EM_BPF = 247;
const EHDR_BYTES = 64;
const SHDR_BYTES = 64;
const SYM_BYTES = 24;
const REL_BYTES = 16;
const RELA_BYTES = 24;

export interface ElfSection {
  index: number;
  name: string;
  type: number;
  flags: number;
  /** Offset of the contents in the file. */
  offset: number;
  /** Bytes; of NOBITS sections too, which occupy none in the file. */
  size: number;
  link: number;
  info: number;
  entrySize: number;
  /** Contents; empty for NOBITS. */
  data: ByteReader;
}

export interface ElfSymbol {
  index: number;
  /** Symbols of type SECTION bear the name of their section. */
  name: string;
  value: number;
  size: number;
  bind: number;
  type: number;
  hidden: boolean;
  /** Index into sections; SHN_UNDEF for externs, ≥ 0xff00 for reserved ones (ABS, COMMON). */
  section: number;
}

export interface ElfReloc {
  /** Byte offset inside the section that is patched. */
  offset: number;
  type: number;
  symbol: ElfSymbol;
  /** RELA only; REL keeps its addend in the bytes that are patched. */
  addend: number | undefined;
  /** Offset of the relocation entry in the file, for errors. */
  at: number;
}

export interface ElfFile {
  file: string;
  sections: readonly ElfSection[];
  symbols: readonly ElfSymbol[];
  /** Relocations by index of the section that they patch, in order of their offset. */
  relocs: ReadonlyMap<number, readonly ElfReloc[]>;
}

/**
 * Reads the tables of an object file.
 * @throws EtherloomError ERR_ELF_MAGIC, ERR_ELF_FORMAT (not ELF64 LE EM_BPF), ERR_ELF_TRUNCATED,
 *   ERR_ELF_SECTION, ERR_ELF_SYMBOL, ERR_ELF_RELOC
 */
export function readElf(bytes: Uint8Array, file: string): ElfFile {
  const all = new ByteReader(bytes, file, 'ERR_ELF_TRUNCATED');
  checkHeader(all);
  const sections = readSections(all);
  const symbols = readSymbols(all, sections);
  return { file, sections, symbols, relocs: readRelocs(sections, symbols) };
}

function checkHeader(all: ByteReader): void {
  if (all.length < 4 || all.u32(0, 'magic') !== 0x464c457f)
    throw all.fail('ERR_ELF_MAGIC', 'not an ELF file', 0, '7f 45 4c 46 ("\\x7fELF")');
  all.need(0, EHDR_BYTES, 'ELF header');
  const want = (at: number, found: number, value: number, what: string): void => {
    if (found !== value)
      throw all.fail(
        'ERR_ELF_FORMAT',
        `${what} is ${found}`,
        at,
        `${value}: an ELF64 little-endian BPF object`,
      );
  };
  want(4, all.u8(4, 'class'), 2, 'ELF class');
  want(5, all.u8(5, 'byte order'), 1, 'byte order');
  want(6, all.u8(6, 'version'), 1, 'ELF version');
  want(16, all.u16(16, 'type'), 1, 'object type (1 = relocatable)');
  want(18, all.u16(18, 'machine'), EM_BPF, 'machine');
}

function readSections(all: ByteReader): ElfSection[] {
  const tableAt = all.size(40, 'section table offset');
  const entry = all.u16(58, 'section header size');
  if (tableAt === 0) throw all.fail('ERR_ELF_SECTION', 'no section table', 40, 'an offset other than 0');
  if (entry !== SHDR_BYTES)
    throw all.fail('ERR_ELF_SECTION', `section headers of ${entry} bytes`, 58, `${SHDR_BYTES}`);
  // gABI: with 0xff00 sections and more, count and name table move into the first section header.
  let count = all.u16(60, 'section count');
  let namesIndex = all.u16(62, 'section name table');
  if (count === 0) count = all.size(tableAt + 32, 'section count');
  if (namesIndex === 0xffff) namesIndex = all.u32(tableAt + 40, 'section name table');
  all.need(tableAt, count * SHDR_BYTES, 'section table');

  const raw: (Omit<ElfSection, 'name'> & { nameAt: number })[] = [];
  for (let i = 0; i < count; i++) {
    const at = tableAt + i * SHDR_BYTES;
    const type = all.u32(at + 4, 'section type');
    const offset = all.size(at + 24, 'section offset');
    const size = all.size(at + 32, 'section size');
    const occupies = type === Sht.NULL || type === Sht.NOBITS ? 0 : size;
    if (occupies > 0 && offset + occupies > all.length)
      throw all.fail(
        'ERR_ELF_SECTION',
        `section ${i} lies at ${offset}, ${size} bytes long, in a file of ${all.length}`,
        at + 24,
        'a section inside the file',
      );
    raw.push({
      index: i,
      nameAt: all.u32(at, 'section name'),
      type,
      flags: Number(all.u64(at + 8, 'section flags') & 0xffff_ffffn),
      offset,
      size,
      link: all.u32(at + 40, 'section link'),
      info: all.u32(at + 44, 'section info'),
      entrySize: all.size(at + 56, 'entry size'),
      data: all.part(occupies ? offset : 0, occupies, `section ${i}`),
    });
  }
  const names = raw[namesIndex];
  if (!names || names.type !== Sht.STRTAB)
    throw all.fail('ERR_ELF_SECTION', `section name table ${namesIndex}`, 62, 'the index of a string table');
  return raw.map(({ nameAt, ...section }) => ({
    ...section,
    name: section.index === 0 ? '' : names.data.string(nameAt, `name of section ${section.index}`),
  }));
}

function readSymbols(all: ByteReader, sections: readonly ElfSection[]): ElfSymbol[] {
  const table = sections.find(s => s.type === Sht.SYMTAB);
  if (!table) return [];
  const names = sections[table.link];
  if (!names || names.type !== Sht.STRTAB)
    throw all.fail(
      'ERR_ELF_SYMBOL',
      `string table ${table.link} of the symbols`,
      table.offset,
      'a string table',
    );
  if (table.size % SYM_BYTES !== 0)
    throw all.fail(
      'ERR_ELF_SYMBOL',
      `symbol table of ${table.size} bytes`,
      table.offset,
      `a multiple of ${SYM_BYTES}`,
    );
  const { data } = table;
  const symbols: ElfSymbol[] = [];
  for (let at = 0; at < table.size; at += SYM_BYTES) {
    const index = at / SYM_BYTES;
    const info = data.u8(at + 4, 'symbol info');
    const section = data.u16(at + 6, 'symbol section');
    const type = info & 15;
    if (section !== SHN_UNDEF && section < SHN_LORESERVE && section >= sections.length)
      throw data.fail(
        'ERR_ELF_SYMBOL',
        `symbol ${index} lies in section ${section}`,
        at + 6,
        `a section below ${sections.length}`,
      );
    const nameAt = data.u32(at, 'symbol name');
    symbols.push({
      index,
      name:
        type === Stt.SECTION && section < sections.length
          ? sections[section].name
          : nameAt === 0
            ? ''
            : names.data.string(nameAt, `name of symbol ${index}`),
      value: data.size(at + 8, 'symbol value'),
      size: data.size(at + 16, 'symbol size'),
      bind: info >> 4,
      type,
      hidden: (data.u8(at + 5, 'symbol visibility') & 3) === STV_HIDDEN,
      section,
    });
  }
  return symbols;
}

function readRelocs(
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
): Map<number, readonly ElfReloc[]> {
  const relocs = new Map<number, ElfReloc[]>();
  for (const table of sections) {
    if (table.type !== Sht.REL && table.type !== Sht.RELA) continue;
    const target = sections[table.info];
    const { data } = table;
    const entry = table.type === Sht.REL ? REL_BYTES : RELA_BYTES;
    if (!target || table.info === 0 || table.size % entry !== 0)
      throw data.fail(
        'ERR_ELF_RELOC',
        `relocation section ${table.name} of ${table.size} bytes for section ${table.info}`,
        0,
        `whole entries of ${entry} bytes for a section of this file`,
      );
    // Debug and BTF sections have thousands that nobody applies: BTF is fixed up by name (load.ts).
    if (/^\.(debug|BTF|eh_frame)/.test(target.name)) continue;
    const list = relocs.get(target.index) ?? [];
    relocs.set(target.index, list);
    for (let at = 0; at < table.size; at += entry) {
      const offset = data.size(at, 'relocation offset');
      const symbol = symbols[data.u32(at + 12, 'relocation symbol')];
      if (!symbol)
        throw data.fail(
          'ERR_ELF_RELOC',
          'relocation without symbol',
          at + 12,
          `an index below ${symbols.length}`,
        );
      if (offset >= target.size)
        throw data.fail(
          'ERR_ELF_RELOC',
          `relocation at ${offset} of ${target.name}`,
          at,
          `an offset below ${target.size}`,
        );
      list.push({
        offset,
        type: data.u32(at + 8, 'relocation type'),
        symbol,
        addend: entry === RELA_BYTES ? Number(BigInt.asIntN(64, data.u64(at + 16, 'addend'))) : undefined,
        at: data.base + at,
      });
    }
    list.sort((a, b) => a.offset - b.offset);
  }
  return relocs;
}
