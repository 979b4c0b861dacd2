/**
 * The functions of an object: where each starts and ends, and which of them are programs.
 */
import { decodeInsns, type Insn } from '../insn.js';
import type { BpfObject } from './object.js';
import { type ElfReloc, type ElfSection, type ElfSymbol, Shf, Sht, Stb, Stt } from './reader.js';

export const INSN_BYTES = 8;

export interface ElfFunction {
  name: string;
  section: ElfSection;
  /** First slot inside the section. */
  start: number;
  /** One past its last slot. */
  end: number;
  global: boolean;
  /** A program to attach; every other function is only called. */
  entry: boolean;
}

/** A code section, decoded once. */
export interface CodeSection {
  section: ElfSection;
  insns: Insn[];
  functions: ElfFunction[];
  /** By slot; a relocation of an LDDW sits at its first slot. */
  relocs: Map<number, ElfReloc>;
}

export class Functions {
  readonly sections: CodeSection[] = [];
  private readonly byIndex = new Map<number, CodeSection>();
  private readonly byStart = new Map<string, ElfFunction>();

  /** @throws EtherloomError ERR_ELF_FUNCTION, ERR_ELF_RELOC, ERR_INSN_LENGTH */
  constructor(private readonly object: BpfObject) {
    for (const section of object.elf.sections) {
      if (section.type !== Sht.PROGBITS || !(section.flags & Shf.EXECINSTR) || section.size === 0) continue;
      const code: CodeSection = {
        section,
        insns: this.decode(section),
        functions: this.find(section),
        relocs: this.relocs(section),
      };
      this.sections.push(code);
      this.byIndex.set(section.index, code);
      for (const fn of code.functions) this.byStart.set(`${section.index}:${fn.start}`, fn);
    }
    // A file of plain functions without SEC(): its global functions are the programs.
    const all = this.sections.flatMap(s => s.functions);
    if (!all.some(f => f.entry)) for (const fn of all) fn.entry = fn.global;
  }

  code(sectionIndex: number): CodeSection | undefined {
    return this.byIndex.get(sectionIndex);
  }

  /** The function that starts at a slot of a section. */
  startingAt(sectionIndex: number, slot: number): ElfFunction | undefined {
    return this.byStart.get(`${sectionIndex}:${slot}`);
  }

  private decode(section: ElfSection): Insn[] {
    if (section.size % INSN_BYTES !== 0)
      throw this.object.fail(
        'ERR_ELF_FUNCTION',
        `code section ${section.name} of ${section.size} bytes`,
        section.offset,
        `a multiple of ${INSN_BYTES} bytes`,
      );
    return decodeInsns(section.data.bytes, this.object.file);
  }

  private find(section: ElfSection): ElfFunction[] {
    // Also .text.unlikely and the like.
    const text = /^\.text(\.|$)/.test(section.name);
    const symbols = this.object.symbolsIn(section);
    // Compilers before LLVM 9 give programs no type; labels (LBB…) are local then.
    let starts = symbols.filter(s => s.type === Stt.FUNC);
    if (starts.length === 0) starts = symbols.filter(s => s.type === Stt.NOTYPE && s.bind !== Stb.LOCAL);
    starts = starts

      // Of two names for one place the global one counts.
      .sort((a, b) => a.value - b.value || b.bind - a.bind || a.index - b.index)
      .filter((s, i, all) => s.value !== all[i - 1]?.value);
    // No symbol at all: the section is one program of its own name.
    if (starts.length === 0)
      return [
        {
          name: section.name,
          section,
          start: 0,
          end: section.size / INSN_BYTES,
          global: true,
          entry: !text,
        },
      ];
    return starts.map((symbol, i) => this.extent(section, symbol, starts[i + 1], text));
  }

  private extent(
    section: ElfSection,
    symbol: ElfSymbol,
    next: ElfSymbol | undefined,
    text: boolean,
  ): ElfFunction {
    const until = Math.min(next?.value ?? section.size, section.size);
    const size = symbol.size || until - symbol.value;
    const end = symbol.value + size;
    if (symbol.value % INSN_BYTES || size % INSN_BYTES || size <= 0 || end > until)
      throw this.object.fail(
        'ERR_ELF_FUNCTION',
        `function ${symbol.name} occupies bytes ${symbol.value}–${end} of ${section.name}`,
        section.offset + Math.min(symbol.value, section.size),
        'whole instructions inside the section, not overlapping the next function',
      );
    const global = symbol.bind !== Stb.LOCAL;
    return {
      name: symbol.name,
      section,
      start: symbol.value / INSN_BYTES,
      end: end / INSN_BYTES,
      // libbpf treats hidden global functions as static ones: verified at each call.
      global: global && !symbol.hidden,
      entry: global && !text,
    };
  }

  private relocs(section: ElfSection): Map<number, ElfReloc> {
    const bySlot = new Map<number, ElfReloc>();
    for (const reloc of this.object.elf.relocs.get(section.index) ?? []) {
      if (reloc.offset % INSN_BYTES !== 0)
        throw this.object.fail(
          'ERR_ELF_RELOC',
          `relocation at byte ${reloc.offset} of ${section.name}`,
          reloc.at,
          'the start of an instruction',
        );
      bySlot.set(reloc.offset / INSN_BYTES, reloc);
    }
    return bySlot;
  }
}
