/**
 * An object file as the loader sees it: ELF tables with BTF, and the look-ups that every pass needs.
 */

import { EtherloomError } from '../../errors.js';
import { type BtfExt, parseBtfExt } from '../btf/ext.js';
import { type ParsedBtf, parseBtf } from '../btf/parse.js';
import type { ByteReader } from '../bytes.js';
import { type ElfFile, type ElfSection, type ElfSymbol, readElf, Sht, Stt } from './reader.js';

export class BpfObject {
  readonly btf: ParsedBtf | undefined;
  readonly ext: BtfExt | undefined;
  private readonly bySection = new Map<number, ElfSymbol[]>();
  private readonly byName = new Map<string, ElfSection>();
  private readonly datasecs = new Map<string, number>();

  private constructor(
    readonly file: string,
    readonly elf: ElfFile,
  ) {
    for (const section of elf.sections)
      if (section.type !== Sht.NULL && !this.byName.has(section.name)) this.byName.set(section.name, section);
    const btf = this.section('.BTF');
    this.btf = btf && parseBtf(btf.data.bytes, file, btf.offset);
    for (const [id, type] of (this.btf?.types ?? []).entries())
      if (type.kind === 'datasec' && !this.datasecs.has(type.name)) this.datasecs.set(type.name, id);
    const ext = this.section('.BTF.ext');
    this.ext = ext && this.btf && parseBtfExt(ext.data.bytes, this.btf, file, ext.offset);
    for (const symbol of elf.symbols) {
      const list = this.bySection.get(symbol.section);
      if (list) list.push(symbol);
      else this.bySection.set(symbol.section, [symbol]);
    }
  }

  static read(bytes: Uint8Array, file: string): BpfObject {
    return new BpfObject(file, readElf(bytes, file));
  }

  /** The first section of that name. */
  section(name: string): ElfSection | undefined {
    return this.byName.get(name);
  }

  /** BTF id of the DATASEC of that name, 0 when there is none. */
  datasecId(name: string): number {
    return this.datasecs.get(name) ?? 0;
  }

  /** Named symbols that lie in a section, sections themselves excluded. */
  symbolsIn(section: ElfSection): ElfSymbol[] {
    return (this.bySection.get(section.index) ?? []).filter(
      s => s.type !== Stt.SECTION && s.type !== Stt.FILE && s.name !== '',
    );
  }

  /** Contents of `license` or another section that holds one string. */
  text(name: string): string | undefined {
    const section = this.section(name);
    if (!section || section.data.length === 0) return undefined;
    return section.data.string(0, `section ${name}`);
  }

  /** An error inside a section. */
  fail(
    code: string,
    message: string,
    place: { data: ByteReader; at: number } | number,
    expected: string,
  ): EtherloomError {
    const offset = typeof place === 'number' ? place : place.data.base + place.at;
    return new EtherloomError(code, message, { file: this.file, offset, expected });
  }
}
